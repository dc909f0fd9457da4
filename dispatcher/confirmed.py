"""Whether the daemons have acted on a change: its answer should not come before."""

import asyncio
from collections.abc import Awaitable, Callable

from dispatcher.store.daemons import Daemons
from dispatcher.store.nudges import Nudges
from dispatcher.store.session import Asked

ASK_EVERY = 0.05


async def confirmed(asked: Asked, version: int, timeout: float = 1.0) -> bool:  # noqa: ASYNC109 - running out of it is an answer
    """Ask after the commit: whether no daemon starts a send any more with endpoints older than
    `version`. Waits for that, `timeout` seconds at the most. Raises StoreUnavailable."""
    daemons = Daemons(asked)
    return await _none(lambda: daemons.unconfirmed(version), timeout)


async def heeded(asked: Asked, delivery_id: int, timeout: float = 1.0) -> bool:  # noqa: ASYNC109
    """Ask after the commit: whether no daemon holds the delivery as it was before it was changed.
    False also as long as an attempt is under way. Waits, and raises, as `confirmed`."""
    nudges = Nudges(asked)
    return await _none(lambda: nudges.unheeded(delivery_id), timeout)


async def _none(left: Callable[[], Awaitable[int]], seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while await left():
        if loop.time() >= until:
            return False
        await asyncio.sleep(ASK_EVERY)
    return True
