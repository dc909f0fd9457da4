"""Turn events of the inbox into deliveries, and tell producers when they need not notify."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatcher.core.ids import LARGEST
from dispatcher.core.model import Delivery
from dispatcher.store.deliveries import delivery
from dispatcher.store.session import Session
from dispatcher.store.statements import statement


@dataclass(frozen=True, slots=True)
class FannedOut:
    """The result of one fan-out statement: rows taken from the inbox, and the deliveries made.

    `parked` are the endpoints whose deliveries were made parked. `seen` is how many rows were
    available, up to the limit. `crowding` are the environments that had the larger part of them.
    `last_waiting` is the highest id in the inbox. It is read only if environments were passed over.
    """

    picked: int
    last_picked: int | None
    made: int
    deliveries: list[Delivery]
    parked: set[UUID]
    seen: int = 0
    crowding: tuple[str, ...] = ()
    last_waiting: int | None = None


class Inbox:
    """The inbox."""

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
        without: Sequence[str] = (),
        most: int = 20_000,
        up_to: int = LARGEST,
    ) -> FannedOut:
        """Turn up to `limit` inbox rows into deliveries of `shard`.

        Their ids are above `above` and at most `up_to`, and they are of no environment in `without`.
        Rows are taken until they make `most` deliveries.
        """
        rows = await self._session.fetch(
            statement("inbox/fan_out"), limit, shard, daemon, saturated, above, without, most, up_to
        )
        return _fanned_out(rows)

    async def fan_out_slice(
        self,
        *,
        limit: int,
        shard: int,
        daemon: int,
        saturated: Sequence[UUID],
        above: int = 0,
        without: Sequence[str] = (),
        up_to: int = LARGEST,
    ) -> FannedOut:
        """Make the next `limit` deliveries of the oldest event that is too large for one statement.

        `picked` is 1 when all its deliveries are made.
        """
        rows = await self._session.fetch(
            statement("inbox/fan_out_slice"), limit, shard, daemon, saturated, above, without, up_to
        )
        return _fanned_out(rows)

    async def first(
        self, *, above: int, up_to: int = LARGEST, without: Sequence[str] = ()
    ) -> tuple[int | None, int]:
        """Return the oldest id of such rows, or None, and the id up to which rows were read.

        That is `up_to`, or the id of a second ago by the database's clock.
        """
        (row,) = await self._session.fetch(statement("inbox/first"), above, up_to, without)
        return row["first"], row["up_to"]

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        """Raise the mark that all daemons read the inbox from, to `taken` at the most; return it.

        It does not pass a row that waits; up to `clear` none is looked for.
        """
        (row,) = await self._session.fetch(statement("inbox/raise_mark"), taken, clear)
        mark: int = row["mark"]
        return mark

    async def quarantine(self, reason: str, detail: str, inbox_id: int) -> list[dict[str, Any]]:
        """Put this row aside, so that it holds up no other one.

        Returns the row with the keys `id event_id environment_id type`, or nothing if another daemon
        holds it.
        """
        rows = await self._session.fetch(statement("inbox/quarantine"), reason, detail, inbox_id)
        return [dict(row) for row in rows]

    async def promise_polling(self, milliseconds: int) -> None:
        """Announce a polling window: for this time producers need not notify."""
        await self._session.fetch(statement("inbox/promise_polling"), milliseconds)

    async def announce_listening(self, milliseconds: int) -> None:
        """Announce that a daemon listens for notifications for this time."""
        await self._session.fetch(statement("inbox/announce_listening"), milliseconds)


def _fanned_out(rows: Sequence[Any]) -> FannedOut:
    summary, *made = rows
    return FannedOut(
        picked=summary["picked"],
        last_picked=summary["last_picked"],
        made=len(made),
        deliveries=[delivery(row) for row in made if not row["parked"]],
        parked={row["endpoint_id"] for row in made if row["parked"]},
        seen=summary["seen"],
        crowding=tuple(summary["crowding"] or ()),
        last_waiting=summary["last_waiting"],
    )
