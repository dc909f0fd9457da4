"""The one loop: a pass, then the wait that the pass asked for, until cancelled.

A pass returns how many seconds to wait before the next; an event cuts the wait short. When the
database cannot be asked the loop tries again, later and later, up to once in two seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

BACKOFF_FIRST = 0.05
BACKOFF_MOST = 2.0


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

    `failed(error, seconds)` hears of each transient failure of a streak, `began` of the beginning
    of each pass, `succeeded` of the end of each that did not fail.
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
            await asyncio.sleep(wait)  # of nothing, too: others must have their turn
        else:
            await either(wake, wait)


async def either(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for the event, but no longer than `seconds` (None: for ever)."""
    if event.is_set():
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def note_lag(noted: Callable[[float], None], every: float) -> None:
    """Call `noted`, until cancelled, with the seconds by which a timer of `every` seconds was late.

    While the loop is busy with something else no timer comes: neither do answers and heartbeats.
    """
    while True:
        due = monotonic() + every
        await asyncio.sleep(every)
        noted(max(0.0, monotonic() - due))
