"""Read and change the quarantine: events that could not be fanned out, each with a reason."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from dispatcher.store.rows import all_rows, first_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class QuarantineRow(TypedDict):
    """A quarantined event."""

    id: int
    event_id: int
    environment_id: str
    type: str
    endpoint_id: UUID | None
    delivery_id: int | None
    reason: str
    detail: str
    quarantined_at: datetime


class LeftQuarantineRow(TypedDict):
    """An event that was just released or discarded."""

    event_id: int
    type: str
    reason: str


class Quarantine:
    """The quarantined events."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def list(self, environment_id: str, before: int, limit: int) -> Sequence[QuarantineRow]:
        """Return at most `limit` events with ids below `before`, newest first."""
        rows = await self._session.fetch(
            statement("quarantine/list"), environment_id, before, limit
        )
        return all_rows(QuarantineRow, rows)

    async def get(self, environment_id: str, id_: int) -> QuarantineRow | None:
        """Return one entry, or None if there is none."""
        rows = await self._session.fetch(statement("quarantine/get"), environment_id, id_)
        return first_row(QuarantineRow, rows)

    async def release(self, environment_id: str, id_: int) -> LeftQuarantineRow | None:
        """Move an event back to the inbox. Return `event_id type reason`.

        Return None if it is unknown, or for an endpoint that was deleted.
        """
        rows = await self._session.fetch(statement("quarantine/release"), environment_id, id_)
        return first_row(LeftQuarantineRow, rows)

    async def discard(self, environment_id: str, id_: int) -> LeftQuarantineRow | None:
        """Delete an entry, and end its delivery if it has one.

        Return `event_id type reason`, or None if it is unknown.
        """
        rows = await self._session.fetch(statement("quarantine/discard"), environment_id, id_)
        return first_row(LeftQuarantineRow, rows)

    async def expire(self, below: int, limit: int) -> Sequence[tuple[int, str]]:
        """Delete up to `limit` entries whose events have ids below `below`.

        Return the events and their reasons.
        """
        rows = await self._session.fetch(statement("quarantine/expire"), below, limit)
        return [(row["event_id"], row["reason"]) for row in rows]
