"""A stage that works in steps: how large the next one is, and what happens after one that failed."""

import pytest

from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.bulk.step_loop import IDLE_SECONDS, WAIT_MINIMUM_SECONDS, StepLoop
from dispatcher.store.errors import StatementTimeoutError, StoreUnavailableError

USUAL = 256


class Work:
    """Steps with these results: True and False as a step returns them, or an error to raise."""

    def __init__(self, *results: bool | Exception, wait: float | None = 0.0) -> None:
        self._results = iter(results)
        self._wait = wait
        self.sizes: list[int] = []
        self.failures: list[str] = []
        self.loop = StepLoop(
            step=self._step, next_wait=self._next_wait, note_failure=self._note_failure
        )

    async def _step(self, size: BatchSize) -> bool:
        self.sizes.append(size.scale(USUAL))
        result = next(self._results)
        if isinstance(result, Exception):
            raise result
        return result

    async def _next_wait(self) -> float | None:
        return self._wait

    async def _note_failure(self, description: str, error: Exception) -> None:
        self.failures.append(description)


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
        with pytest.raises(StatementTimeoutError):
            await work.loop.run_once()
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
