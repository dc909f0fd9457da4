"""Word of deliveries that were changed by somebody else than the daemon that holds them."""

from collections.abc import Collection
from typing import Any

from dispatcher.core.model import Nudge
from dispatcher.store.deliveries import delivery
from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Nudges:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def waiting(self, shards: Collection[int], above: int, most: int) -> list[Nudge]:
        """The first nudges of these shards with ids above `above`, oldest first."""
        rows = await self._session.fetch(
            statement("change_notices/waiting"), list(shards), above, most
        )
        return [_nudge(row) for row in rows]

    async def remove(self, ids: Collection[int]) -> None:
        await self._session.fetch(statement("change_notices/remove"), list(ids))

    async def unheeded(self, delivery_id: int) -> int:
        """How many of this delivery some daemon has yet to act on."""
        rows = await self._session.fetch(statement("change_notices/unheeded"), delivery_id)
        count: int = rows[0]["unheeded"]
        return count


def _nudge(row: Any) -> Nudge:
    return Nudge(
        id=row["nudge"],
        delivery_id=row["delivery_id"],
        endpoint_id=row["nudged_endpoint"],
        shard=row["nudged_shard"],
        delivery=None if row["id"] is None else delivery(row),
    )
