"""The loop of the stages: passes, waits that an event ends, and delays after failures."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from time import monotonic

import pytest

from dispatcher.engine.stages import loop
from dispatcher.engine.stages.loop import (
    BACKOFF_FIRST_SECONDS,
    LONG_SECONDS,
    TICK_SECONDS,
    TIMER_STEP_SECONDS,
    aligned,
    repeat,
    to_tick,
    wait_for_event,
)


class AwayError(Exception):
    """The database is away."""


class Passes:
    """Passes by a script: a number of seconds to wait, or an error to raise; then it stops."""

    def __init__(self, *script: float | Exception) -> None:
        self._script = list(script)
        self.began: list[float] = []
        self.failures: list[tuple[str, float]] = []

    async def __call__(self) -> float:
        await asyncio.sleep(0)
        self.began.append(monotonic())
        if not self._script:
            raise asyncio.CancelledError
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def failed(self, error: Exception, seconds: float) -> None:
        self.failures.append((str(error), seconds))

    async def run(self, wake: asyncio.Event | None = None, limit: float = 2.0) -> list[float]:
        """Run them all; the seconds between their beginnings."""
        with suppress(asyncio.CancelledError):
            await repeat(
                self, transient=AwayError, on_failure=self.failed, wake=wake, backoff_limit=limit
            )
        return [later - earlier for earlier, later in pairwise(self.began)]


@pytest.mark.parametrize("wake", [None, asyncio.Event])
async def test_a_pass_is_followed_by_the_delay_it_returned(
    wake: Callable[[], asyncio.Event] | None,
) -> None:
    passes = Passes(0.0, 0.05, 0.0)
    iterations = 0
    begins: list[int] = []

    async def count() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    async def one_pass() -> float:
        begins.append(iterations)
        return await passes()

    counting = asyncio.create_task(count())
    with suppress(asyncio.CancelledError):
        await repeat(one_pass, transient=AwayError, on_failure=passes.failed, wake=wake and wake())
    counting.cancel()
    waited = [later - earlier for earlier, later in pairwise(passes.began)]
    turns = [later - earlier for earlier, later in pairwise(begins)]
    assert len(waited) == 3
    assert waited[1] >= 0.045
    assert (turns[0] <= 5, turns[2] <= 5) == (True, True), "no wait takes a few turns of the loop"


async def test_an_event_ends_the_wait() -> None:
    wake = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, wake.set)
    gaps = await Passes(30.0).run(wake)
    assert gaps[0] < 20


async def test_an_event_during_a_pass_is_not_lost() -> None:
    wake = asyncio.Event()
    passes = Passes(30.0)

    async def one_pass() -> float:
        wait = await passes()
        wake.set()
        return wait

    with suppress(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await repeat(one_pass, transient=AwayError, on_failure=passes.failed, wake=wake)
    assert len(passes.began) == 2


async def test_failures_are_reported_with_delays_that_grow_up_to_a_limit() -> None:
    script = [AwayError(str(n)) for n in range(4)]
    passes = Passes(*script)
    gaps = await passes.run(limit=0.12)
    assert passes.failures == [("0", 0.05), ("1", 0.1), ("2", 0.12), ("3", 0.12)]
    assert [
        gap >= delay - 0.005 for gap, (_, delay) in zip(gaps, passes.failures, strict=True)
    ] == [True] * 4


async def test_a_success_resets_the_delay() -> None:
    passes = Passes(AwayError("1"), AwayError("2"), 0.0, AwayError("3"))
    await passes.run()
    assert [seconds for _, seconds in passes.failures] == [
        BACKOFF_FIRST_SECONDS,
        BACKOFF_FIRST_SECONDS * 2,
        BACKOFF_FIRST_SECONDS,
    ]


async def test_any_other_error_ends_the_loop() -> None:
    passes = Passes(LookupError("ours"))
    with pytest.raises(LookupError, match="ours"):
        await passes.run()
    assert passes.failures == []


async def test_a_loop_without_delay_lets_other_tasks_run() -> None:
    """Both ways of waiting nothing give way."""

    async def spin() -> float:
        return 0.0

    def failed(error: Exception, seconds: float) -> None:
        raise AssertionError

    for wake in (None, asyncio.Event()):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await repeat(spin, transient=AwayError, on_failure=failed, wake=wake)


@pytest.mark.parametrize("seconds", [None, 30.0])
async def test_wait_for_event_returns_at_once_if_the_event_is_set(seconds: float | None) -> None:
    event = asyncio.Event()
    event.set()
    async with asyncio.timeout(30):
        await wait_for_event(event, seconds)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01])
async def test_wait_for_event_returns_after_the_timeout(seconds: float) -> None:
    async with asyncio.timeout(30):
        await wait_for_event(asyncio.Event(), seconds)


async def test_wait_for_event_can_be_cancelled() -> None:
    waiting: Awaitable[None] = asyncio.create_task(wait_for_event(asyncio.Event(), 30.0))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await waiting


@pytest.mark.parametrize("seconds", [LONG_SECONDS, 2.0, 3.1, 60.0])
@pytest.mark.parametrize("now", [1000.0, 1000.003, 1000.12, 1000.13, 1000.2499])
def test_long_waits_end_on_a_tick(seconds: float, now: float) -> None:
    wait = aligned(seconds, now)
    ticks = (now + wait - TIMER_STEP_SECONDS / 2) / TICK_SECONDS
    assert ticks == pytest.approx(round(ticks), abs=1e-6)
    assert abs(wait - seconds) <= TICK_SECONDS / 2 + TIMER_STEP_SECONDS


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.05, 0.5, LONG_SECONDS - 0.001])
def test_short_waits_are_kept(seconds: float) -> None:
    assert aligned(seconds, 1000.1) == seconds


@pytest.mark.parametrize(
    ("seconds", "now", "wait"),
    [
        (0.25, 1000.0, 0.25),
        (0.249, 1000.001, 0.249),
        (0.25, 1000.1, 0.15),
        (0.25, 1000.2, 0.30),
        (0.0, 1000.1, 0.0),
        (-0.3, 1000.0, 0.0),
    ],
)
def test_a_wait_to_a_tick_is_never_negative(seconds: float, now: float, wait: float) -> None:
    assert to_tick(seconds, now) == pytest.approx(wait, abs=TIMER_STEP_SECONDS)


@pytest.mark.parametrize("wake", [None, asyncio.Event])
async def test_the_wait_between_two_passes_is_aligned(
    wake: Callable[[], asyncio.Event] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "aligned", lambda seconds, now: seconds / 1000)
    passes = Passes(30.0)
    async with asyncio.timeout(30):
        await passes.run(wake and wake())
    assert len(passes.began) == 2
