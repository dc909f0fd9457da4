"""Wait until the daemons have applied a change, so that its response does not come too early."""

import asyncio
from collections.abc import Awaitable, Callable

from dispatcher.store.change_notices import Nudges
from dispatcher.store.daemons import Daemons
from dispatcher.store.session import Queryable, StatementTimeoutError, StoreUnavailableError

ASK_EVERY = 0.05
MARGIN_SECONDS = 1.0
"""Additional time after the requested one, before a running statement is given up."""


async def confirmed(asked: Queryable, version: int, timeout: float = 1.0) -> bool:  # noqa: ASYNC109 - running out of it is an answer
    """Wait until no daemon starts a send with endpoints older than `version`.

    Call this after the commit. Return True, or False if it takes longer than `timeout` seconds.

    Return False also if the database cannot be reached. The change is committed, and an error would
    lose what only the response holds, such as a new secret.
    """
    daemons = Daemons(asked)
    return await _none(lambda: daemons.unconfirmed(version), timeout)


async def heeded(asked: Queryable, delivery_id: int, timeout: float = 1.0) -> bool:  # noqa: ASYNC109
    """Wait until no daemon holds the delivery as it was before the change.

    Call this after the commit. Return True, or False if it takes longer than `timeout` seconds,
    also because an attempt is in progress.
    """
    nudges = Nudges(asked)
    return await _none(lambda: nudges.unapplied(delivery_id), timeout)


async def _none(left: Callable[[], Awaitable[int]], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds + MARGIN_SECONDS):
            return await _asked(left, seconds)
    except (StoreUnavailableError, StatementTimeoutError, TimeoutError):
        return False


async def _asked(left: Callable[[], Awaitable[int]], seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while await left():
        if loop.time() >= until:
            return False
        await asyncio.sleep(ASK_EVERY)
    return True
