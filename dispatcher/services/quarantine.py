"""List what is in quarantine, events and deliveries, and release or discard it."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.public_ids import no_quarantined_event, quarantine_number
from dispatcher.store.queries import quarantine as stored
from dispatcher.store.session import Queryable

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class QuarantinedEvent:
    """An event in quarantine, or a delivery whose result the database refused.

    `id` is `q_` and a number, because one event can be here for several webhooks. `webhook_id` is
    set if the entry is for one webhook alone, `delivery_id` if it is about a delivery. `reason` is
    a stable code, `detail` the problem.
    """

    id: str
    event_id: str
    environment_id: str
    type: str
    webhook_id: UUID | None
    delivery_id: str | None
    reason: str
    detail: str
    quarantined_at: datetime

    @classmethod
    def from_row(cls, row: stored.QuarantineRow) -> "QuarantinedEvent":
        """Return the quarantined event of its row."""
        delivery_id = row["delivery_id"]
        return cls(
            id=f"{ids.QUARANTINE_PREFIX}_{row['id']}",
            event_id=ids.event_name(row["event_id"]),
            environment_id=row["environment_id"],
            type=row["type"],
            webhook_id=row["endpoint_id"],
            delivery_id=None if delivery_id is None else ids.delivery_name(delivery_id),
            reason=row["reason"],
            detail=row["detail"],
            quarantined_at=row["quarantined_at"],
        )


class Quarantine:
    """The quarantine. The methods raise NotFoundError, StoreError and StatementTimeoutError."""

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._stored = stored.Quarantine(session)
        self._journal = Journal(session, actor)

    async def list(
        self, environment_id: str, *, before: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[QuarantinedEvent, int]:
        """Return the entries in quarantine, the one with the highest id first."""
        rows = await self._stored.list(
            environment_id, ids.LARGEST_ID if before is None else before, limit + 1
        )
        return Page.of(rows, limit, make=QuarantinedEvent.from_row, key=lambda row: row["id"])

    async def get(self, environment_id: str, id_: str) -> QuarantinedEvent:
        """Return one entry. Raise NotFoundError if there is none."""
        return QuarantinedEvent.from_row(
            _known(id_, await self._stored.get(environment_id, quarantine_number(id_)))
        )

    async def release(self, environment_id: str, id_: str) -> None:
        """Move an entry back to the inbox. Call this in a transaction.

        Within some seconds of the commit its event is fanned out, or its delivery is sent again,
        without another schema check. Raise ConflictError if the entry is for one webhook alone and
        that webhook was deleted.
        """
        row = await self._stored.release(environment_id, quarantine_number(id_))
        if row is None:
            await self.get(environment_id, id_)
            raise ConflictError("The webhook was deleted. Discard the entry.")
        await self._note("quarantine.release", environment_id, id_, row)

    async def discard(self, environment_id: str, id_: str) -> None:
        """Drop an entry, so that it is not fanned out. Call this in a transaction.

        The event itself stays, so a replay that covers its time still sends it. A delivery in
        quarantine ends as cancelled.
        """
        row = _known(id_, await self._stored.discard(environment_id, quarantine_number(id_)))
        await self._note("quarantine.discard", environment_id, id_, row)

    async def _note(
        self, action: str, environment_id: str, id_: str, row: stored.LeftQuarantineRow
    ) -> None:
        await self._journal.note(
            action,
            id_,
            environment_id,
            event_id=ids.event_name(row["event_id"]),
            type=row["type"],
            reason=row["reason"],
        )


def _known(id_: str, row: Row | None) -> Row:
    if row is None:
        raise no_quarantined_event(id_)
    return row
