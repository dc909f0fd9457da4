"""Wait until the daemons have applied a change, so that its response does not come too early."""

import asyncio
from collections.abc import Awaitable, Callable

from dispatcher.store.errors import StatementTimeoutError, StoreError
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.daemons import Daemons
from dispatcher.store.session import Queryable

WAIT_SECONDS = 1.0
"""How long the callers wait for the daemons, unless they say otherwise."""
POLL_SECONDS = 0.05
MARGIN_SECONDS = 1.0
"""Additional time after the requested one, before a running statement is given up."""

Count = Callable[[], Awaitable[int]]
"""A function that counts what has not applied the change yet."""


async def wait_until_applied(
    session: Queryable,
    version: int,
    timeout: float | None = None,  # noqa: ASYNC109 - running out of it is a result, not an error
) -> bool:
    """Wait until no daemon starts a send with endpoints older than `version`.

    Call this after the commit. Return True, or False if it takes longer than `timeout` seconds,
    by default WAIT_SECONDS.

    Return False also if the database cannot be reached. The change is committed, and an error would
    lose what only the response holds, such as a new secret.
    """
    daemons = Daemons(session)
    return await _wait_until_none(lambda: daemons.count_outdated(version), timeout)


async def wait_until_acknowledged(
    session: Queryable,
    delivery_id: int,
    timeout: float | None = None,  # noqa: ASYNC109 - as above
) -> bool:
    """Wait until no daemon holds the delivery as it was before the change.

    Call this after the commit. Return True, or False if it takes longer than `timeout` seconds, by
    default WAIT_SECONDS, also because an attempt is in progress. Return False also if the database
    cannot be reached.
    """
    notices = ChangeNotices(session)
    return await _wait_until_none(lambda: notices.unapplied(delivery_id), timeout)


async def _wait_until_none(count: Count, seconds: float | None) -> bool:
    """Return True as soon as the count is 0, or False if it is not after `seconds`."""
    if seconds is None:
        seconds = WAIT_SECONDS
    try:
        async with asyncio.timeout(seconds + MARGIN_SECONDS):
            return await _poll(count, seconds)
    except (StoreError, StatementTimeoutError, TimeoutError):
        return False


async def _poll(count: Count, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while await count():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
