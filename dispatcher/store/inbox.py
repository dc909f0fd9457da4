"""The inbox: events on their way to becoming deliveries, and the two promises to emitters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatcher.model import Delivery
from dispatcher.store.deliveries import delivery
from dispatcher.store.session import Session
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class FannedOut:
    """What one statement did: rows taken from the inbox, and the deliveries made of them.

    `last_picked` is the highest id of the oldest ones. `parked` are the endpoints whose deliveries
    were made parked.
    """

    picked: int
    last_picked: int | None
    made: int
    deliveries: list[Delivery]
    parked: set[UUID]


class Inbox:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def fan_out(
        self,
        *,
        limit: int,
        shard: int,
        daemon: int,
        saturated: Sequence[UUID],
        above: int,
        newest: int = 0,
    ) -> FannedOut:
        """Turn the `limit` oldest inbox rows with ids above `above`, and besides them the `newest`
        newest ones, into deliveries of `shard`."""
        rows = await self._session.fetch(
            statement("inbox/fan_out"), limit, shard, daemon, saturated, above, newest
        )
        return _fanned_out(rows)

    async def fan_out_slice(
        self, *, limit: int, shard: int, daemon: int, saturated: Sequence[UUID]
    ) -> FannedOut:
        """Make the next `limit` deliveries of the oldest event; `picked` is 1 when it is done."""
        rows = await self._session.fetch(
            statement("inbox/fan_out_slice"), limit, shard, daemon, saturated
        )
        return _fanned_out(rows)

    async def quarantine(self, reason: str, detail: str) -> list[dict[str, Any]]:
        """Put the oldest row aside, so that it is in nobody's way."""
        rows = await self._session.fetch(statement("inbox/quarantine"), reason, detail)
        return [dict(row) for row in rows]

    async def promise_polling(self, milliseconds: int) -> None:
        await self._session.fetch(statement("inbox/promise_polling"), milliseconds)

    async def announce_listening(self, milliseconds: int) -> None:
        await self._session.fetch(statement("inbox/announce_listening"), milliseconds)


def _fanned_out(rows: Sequence[Any]) -> FannedOut:
    made = [row for row in rows if row["id"] is not None]
    return FannedOut(
        picked=rows[0]["picked"],
        last_picked=rows[0]["last_picked"],
        made=len(made),
        deliveries=[delivery(row) for row in made if not row["parked"]],
        parked={row["endpoint_id"] for row in made if row["parked"]},
    )
