"""Run the passes of a stage: one pass, then the wait that it returned, until cancelled.

A pass returns the seconds to wait before the next one; an event ends the wait early. While the
database is unavailable, the loop tries again with growing delays of up to two seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

BACKOFF_FIRST = 0.05
BACKOFF_MOST = 2.0
"""Seconds to wait after the first failed pass; the delay doubles up to the second number."""


async def repeat(
    one_pass: Callable[[], Awaitable[float]],
    *,
    transient: type[Exception] | tuple[type[Exception], ...],
    failed: Callable[[Exception, float], None],
    wake: asyncio.Event | None = None,
    most: float = BACKOFF_MOST,
    began: Callable[[], None] = lambda: None,
    succeeded: Callable[[], None] = lambda: None,
) -> None:
    """Run passes until cancelled.

    `transient` are the errors after which to try again; other errors end the loop.
    `failed(error, seconds)` is called after each of them, with the delay before the next pass;
    `began` is called before each pass, `succeeded` after each pass without an error. `most` is the
    longest delay in seconds.
    """
    backoff = BACKOFF_FIRST
    while True:
        if wake is not None:
            wake.clear()
        began()
        try:
            wait = await one_pass()
            backoff = BACKOFF_FIRST
            succeeded()
        except transient as error:
            failed(error, backoff)
            await asyncio.sleep(backoff)
            backoff = min(most, backoff * 2)
            continue
        if wake is None or wait <= 0:
            await asyncio.sleep(wait)  # also for 0 s: otherwise no other task would run
        else:
            await either(wake, wait)


async def either(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, at most `seconds` (None: without limit)."""
    if event.is_set():
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def note_lag(noted: Callable[[float], None], every: float) -> None:
    """Call `noted` with the lateness in seconds of a timer of `every` seconds, until cancelled.

    A late timer shows that the event loop is blocked: then answers and heartbeats are late too.
    """
    while True:
        due = monotonic() + every
        await asyncio.sleep(every)
        noted(max(0.0, monotonic() - due))
