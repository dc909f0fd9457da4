"""Write, read and remove change notices.

A change notice tells a daemon that another process changed a delivery which it holds in memory.
"""

from collections.abc import Collection, Sequence

from dispatcher.core.model import ChangeNotice, ChangeNoticeRow, Delivery
from dispatcher.store.rows import uncopied_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class ChangeNotices:
    """The table of change notices."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def waiting(self, shards: Collection[int], above: int, limit: int) -> list[ChangeNotice]:
        """Return the first change notices of these shards with ids above `above`, oldest first."""
        rows = await self._session.fetch(
            statement("change_notices/waiting"), list(shards), above, limit
        )
        return [ChangeNotice.from_row(row) for row in uncopied_rows(ChangeNoticeRow, rows)]

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the daemons that own the shards of these deliveries to read them again."""
        await self._session.fetch(
            statement("change_notices/add"),
            [delivery.id for delivery in deliveries],
            [delivery.endpoint_id for delivery in deliveries],
            [delivery.shard for delivery in deliveries],
        )

    async def remove(self, ids: Collection[int]) -> None:
        """Delete change notices that the daemon has applied."""
        await self._session.fetch(statement("change_notices/remove"), list(ids))

    async def unapplied(self, delivery_id: int) -> int:
        """Return how many change notices of this delivery a daemon has not applied yet."""
        rows = await self._session.fetch(statement("change_notices/unapplied"), delivery_id)
        count: int = rows[0]["unapplied"]
        return count
