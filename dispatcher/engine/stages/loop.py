"""Run the passes of a stage: one pass, then the wait that it returned, until cancelled.

A pass is the method `run_once() -> float` of a stage. It returns the seconds until the stage wants
to run again; an event ends the wait early. A long wait ends at the nearest tick, so up to half a
tick earlier or later. After an error that the stage calls transient, the loop tries again, with
growing delays.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

BACKOFF_FIRST_SECONDS = 0.05
BACKOFF_LIMIT_SECONDS = 2.0
"""The delay after the first failed pass, and the longest one: each failure doubles the delay."""
TICK_SECONDS = 0.25
"""Long waits end together, at multiples of this time. Otherwise an idle process would wake up some
twenty times a second, and each wake-up costs more than what most stages do in it."""
LONG_SECONDS = 1.0
"""Waits from this length on may end half a tick earlier or later."""
TIMER_STEP_SECONDS = 0.001
"""The timers of uvloop count in these steps."""


async def repeat(
    run_once: Callable[[], Awaitable[float]],
    *,
    transient: type[Exception] | tuple[type[Exception], ...],
    on_failure: Callable[[Exception, float], None],
    wake: asyncio.Event | None = None,
    backoff_limit: float = BACKOFF_LIMIT_SECONDS,
    on_begin: Callable[[], None] = lambda: None,
    on_success: Callable[[], None] = lambda: None,
) -> None:
    """Run passes until cancelled.

    `transient` are the errors after which to try again; any other error ends the loop and is
    raised. `on_failure(error, seconds)` is called after each failed pass, with the delay before
    the next one. `on_begin` is called before each pass, `on_success` after each pass without an
    error. `wake` ends the wait after a pass without an error, but not the delay after a failed
    pass. `backoff_limit` is the longest such delay in seconds.
    """
    backoff = BACKOFF_FIRST_SECONDS
    while True:
        if wake is not None:
            wake.clear()
        on_begin()
        try:
            delay = await run_once()
        except transient as error:
            on_failure(error, backoff)
            await asyncio.sleep(backoff)
            backoff = min(backoff_limit, backoff * 2)
            continue
        backoff = BACKOFF_FIRST_SECONDS
        on_success()
        delay = aligned(delay, monotonic())
        if wake is None or delay <= 0:
            await asyncio.sleep(delay)  # also for 0 s. Otherwise no other task would run.
        else:
            await wait_for_event(wake, delay)


async def wait_for_event(
    event: asyncio.Event,
    timeout: float | None,  # noqa: ASYNC109 - a timeout here is a result, not an error
) -> None:
    """Return when the event is set, at the latest after `timeout` seconds (None: no limit)."""
    if event.is_set():
        return
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass


def to_tick(seconds: float, now: float) -> float:
    """Return about `seconds`, but so that the wait ends on a tick; `now` is time.monotonic()."""
    end = round((now + seconds) / TICK_SECONDS) * TICK_SECONDS
    # Half a step more, or waits for the same tick would be rounded to different ends.
    return max(0.0, end - now + TIMER_STEP_SECONDS / 2)


def aligned(seconds: float, now: float) -> float:
    """Return `seconds`, but so that a long wait ends on a tick; `now` is time.monotonic()."""
    return to_tick(seconds, now) if seconds >= LONG_SECONDS else seconds


async def measure_lag(on_lag: Callable[[float], None], interval: float) -> None:
    """Call `on_lag` about every `interval` seconds with the lateness in seconds of that timer.

    Run until cancelled. The waits end on ticks, as those of the stages do. A late timer shows that
    the event loop is blocked: then answers and heartbeats are late too.
    """
    while True:
        now = monotonic()
        wait = to_tick(interval, now)
        due = now + wait
        await asyncio.sleep(wait)
        on_lag(max(0.0, monotonic() - due))
