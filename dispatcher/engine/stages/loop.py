"""Run the passes of a stage: one pass, then the wait that it returned, until cancelled.

A pass is the method `run_once() -> float` of a stage. It returns the seconds until the stage wants
to run again; an event ends the wait early. After an error that the stage calls transient, the loop
tries again, with growing delays.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

BACKOFF_FIRST_SECONDS = 0.05
BACKOFF_LIMIT_SECONDS = 2.0
"""The delay after the first failed pass, and the longest one: each failure doubles the delay."""


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
    error. `wake` ends the wait between two passes. `backoff_limit` is the longest delay in seconds
    after a failed pass.
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


async def measure_lag(on_lag: Callable[[float], None], interval: float) -> None:
    """Call `on_lag` every `interval` seconds with the lateness in seconds of that timer.

    Run until cancelled. A late timer shows that the event loop is blocked: then answers and
    heartbeats are late too.
    """
    while True:
        due = monotonic() + interval
        await asyncio.sleep(interval)
        on_lag(max(0.0, monotonic() - due))
