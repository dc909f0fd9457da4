"""Read and write the audit log: each change with its actor, time and client address."""

from datetime import datetime
from typing import TypedDict

from dispatcher.core.model import RawJson
from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class AuditRow(TypedDict):
    """An entry of the audit log, and the last id that was read."""

    looked: int | None
    id: int
    at: datetime
    environment_id: str | None
    actor: str
    action: str
    subject: str
    detail: RawJson
    request_id: str | None
    address: str | None


class Audit:
    """The audit log."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def write(
        self,
        *,
        environment_id: str | None,
        actor: str,
        action: str,
        subject: str,
        detail: str,
        request_id: str | None,
        address: str | None,
    ) -> None:
        """Write one entry.

        Call this in the transaction of the change. Otherwise one could be committed without the
        other.
        """
        await self._session.fetch(
            statement("audit/write"),
            environment_id,
            actor,
            action,
            subject,
            detail,
            request_id,
            address,
        )

    async def list(
        self,
        environment_id: str | None,
        *,
        actor: str | None,
        action: str | None,
        subject: str | None,
        before: int | None,
        limit: int,
        look: int,
    ) -> tuple[list[AuditRow], int | None]:
        """Return matching entries, newest first, and the last id that was read.

        `limit` is the most entries to return, `look` the most entries to read. The id is None if
        the log was read to its end. A filter may match few entries, so the id tells where the next
        page begins.
        """
        rows = await self._session.fetch(
            statement("audit/list"), environment_id, actor, action, subject, before, limit, look
        )
        found = all_rows(AuditRow, [row for row in rows if row["id"] is not None])
        return found, rows[0]["looked"]

    async def prune(self, below: int, limit: int) -> int:
        """Delete up to `limit` entries with ids below `below`. Return how many were deleted."""
        return len(await self._session.fetch(statement("audit/prune"), below, limit))
