"""Whether the daemons have acted on a change: its answer should not come before."""

import asyncio
from collections.abc import Awaitable, Callable

from dispatcher.store.change_notices import Nudges
from dispatcher.store.daemons import Daemons
from dispatcher.store.session import Asked, StatementTimeout, StoreUnavailable

ASK_EVERY = 0.05
MARGIN_SECONDS = 1.0
"""Beyond the time that was asked for, until a question under way is given up."""


async def confirmed(asked: Asked, version: int, timeout: float = 1.0) -> bool:  # noqa: ASYNC109 - running out of it is an answer
    """Ask after the commit: whether no daemon starts a send any more with endpoints older than
    `version`. Waits for that, `timeout` seconds at the most.

    The change is committed: a database that cannot be asked makes the answer False, not an error,
    because an error would take away what only the answer holds (a new secret)."""
    daemons = Daemons(asked)
    return await _none(lambda: daemons.unconfirmed(version), timeout)


async def heeded(asked: Asked, delivery_id: int, timeout: float = 1.0) -> bool:  # noqa: ASYNC109
    """Ask after the commit: whether no daemon holds the delivery as it was before it was changed.
    False also as long as an attempt is under way. Waits as `confirmed`."""
    nudges = Nudges(asked)
    return await _none(lambda: nudges.unheeded(delivery_id), timeout)


async def _none(left: Callable[[], Awaitable[int]], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds + MARGIN_SECONDS):
            return await _asked(left, seconds)
    except (StoreUnavailable, StatementTimeout, TimeoutError):
        return False


async def _asked(left: Callable[[], Awaitable[int]], seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while await left():
        if loop.time() >= until:
            return False
        await asyncio.sleep(ASK_EVERY)
    return True
