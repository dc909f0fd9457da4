"""A stage that works in steps: how large the next one is, and what happens after one that failed."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

import pytest

from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.bulk.step_loop import (
    FAILURES_LIMIT,
    IDLE_SECONDS,
    WAIT_MINIMUM_SECONDS,
    Step,
    StepLoop,
)
from dispatcher.store.errors import StatementTimeoutError, StoreUnavailableError
from dispatcher.store.session import Session

USUAL = 256


class Work:
    """Steps with these results: True and False as a step returns them, or an error to raise."""

    def __init__(self, *results: bool | Exception, wait: float | None = 0.0) -> None:
        self._results = iter(results)
        self._wait = wait
        self.sizes: list[int] = []
        self.failures: list[str] = []
        self.loop = StepLoop(cast(Session, self), self, claim=self._claim, on_failure=self._failed)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield

    async def _claim(self, _: object) -> Step | None:
        result = next(self._results)
        return Step("env_a", 1, partial(self._step, result)) if result else None

    async def _step(self, result: bool | Exception, size: BatchSize) -> None:
        self.sizes.append(size.scale(USUAL))
        if isinstance(result, Exception):
            raise result

    async def next(self) -> float | None:
        return self._wait

    async def note_failure(self, _: str, __: int, error: str, limit: int) -> str | None:
        assert limit == FAILURES_LIMIT
        return error

    def _failed(self, _: int, state: str, __: Exception) -> None:
        self.failures.append(state)


@pytest.mark.parametrize(
    ("is_due", "wait", "seconds"),
    [
        (True, -3.0, 0.0),
        (False, -3.0, WAIT_MINIMUM_SECONDS),
    ],
)
async def test_the_next_step_runs_at_once_while_work_is_due(
    is_due: bool, wait: float, seconds: float
) -> None:
    assert await Work(is_due, wait=wait).loop.run_once() == seconds


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (None, IDLE_SECONDS),
        (60.0, IDLE_SECONDS),
        (0.5, 0.5),
        (0.001, WAIT_MINIMUM_SECONDS),
    ],
)
async def test_no_step_runs_before_work_is_due(wait: float | None, seconds: float) -> None:
    work = Work(wait=wait)
    assert (await work.loop.run_once(), work.sizes) == (seconds, [])


async def test_a_timeout_makes_the_next_steps_smaller_until_the_smallest_has_failed() -> None:
    work = Work(*[StatementTimeoutError("slow")] * 5, True, True)
    for _ in range(4):
        assert await work.loop.run_once() == WAIT_MINIMUM_SECONDS
        assert work.failures == []
    assert await work.loop.run_once() == 0.0
    assert work.failures == ["StatementTimeoutError: slow"]
    await work.loop.run_once()
    await work.loop.run_once()
    assert work.sizes == [256, 64, 16, 4, 1, 1, 2]


async def test_an_error_of_the_data_is_noted_and_others_are_raised() -> None:
    work = Work(ValueError("odd"), StoreUnavailableError("gone"))
    assert await work.loop.run_once() == 0.0
    assert work.failures == ["ValueError: odd"]
    with pytest.raises(StoreUnavailableError):
        await work.loop.run_once()
    assert work.sizes == [USUAL, USUAL]


async def test_an_error_before_work_is_claimed_is_not_noted_of_the_last_work() -> None:
    work = Work(True)
    await work.loop.run_once()
    work.loop._claim = _refused
    with pytest.raises(ValueError, match="odd"):
        await work.loop.run_once()
    assert work.failures == []


async def _refused(_: object) -> Step | None:
    raise ValueError("odd")
