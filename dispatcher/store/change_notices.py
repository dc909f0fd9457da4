"""Read and remove change notices.

A change notice tells a daemon that another process changed a delivery which it holds in memory.
"""

from collections.abc import Collection

import asyncpg

from dispatcher.core.model import ChangeNotice
from dispatcher.store.deliveries import delivery
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class ChangeNotices:
    """The table of change notices."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def waiting(self, shards: Collection[int], above: int, most: int) -> list[ChangeNotice]:
        """Return the first change notices of these shards with ids above `above`, oldest first."""
        rows = await self._session.fetch(
            statement("change_notices/waiting"), list(shards), above, most
        )
        return [_notice(row) for row in rows]

    async def remove(self, ids: Collection[int]) -> None:
        """Delete change notices that the daemon has applied."""
        await self._session.fetch(statement("change_notices/remove"), list(ids))

    async def unapplied(self, delivery_id: int) -> int:
        """Return how many change notices of this delivery a daemon has not applied yet."""
        rows = await self._session.fetch(statement("change_notices/unapplied"), delivery_id)
        count: int = rows[0]["unapplied"]
        return count


def _notice(row: asyncpg.Record) -> ChangeNotice:
    return ChangeNotice(
        id=row["notice_id"],
        delivery_id=row["delivery_id"],
        endpoint_id=row["notice_endpoint_id"],
        shard=row["notice_shard"],
        delivery=None if row["id"] is None else delivery(row),
    )
