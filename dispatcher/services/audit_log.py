"""Write an audit entry within the transaction of each change, and read the audit log."""

from dataclasses import dataclass
from datetime import datetime

import orjson

from dispatcher.core.model import RawJson
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.store.audit import Audit, AuditRow
from dispatcher.store.session import Queryable

ROWS_PER_PAGE = 10_000
"""Most entries that are read for one page. A filter may leave out most of them."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The client of a request: `token:<id>`, `cli:<user>` or `dispatcher`.

    `request_id` and `address` name the request and the client's address.
    """

    name: str
    request_id: str | None = None
    address: str | None = None


class Journal:
    """The audit entries of one actor in one transaction."""

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._audit = Audit(session)
        self._actor = actor

    async def note(
        self, action: str, subject: str, environment_id: str | None, **detail: object
    ) -> None:
        """Write one audit entry.

        `action` is `<noun>.<verb>` and `subject` is the id of the changed object. `detail` is what
        changed. It must never hold a secret.
        """
        await self._audit.write(
            environment_id=environment_id,
            actor=self._actor.name,
            action=action,
            subject=subject,
            detail=orjson.dumps(detail, default=str).decode(),
            request_id=self._actor.request_id,
            address=self._actor.address,
        )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. `environment_id` is None if the change concerns all environments."""

    id: str
    at: datetime
    environment_id: str | None
    actor: str
    action: str
    subject: str
    detail: RawJson
    request_id: str | None
    address: str | None

    @classmethod
    def from_row(cls, row: AuditRow) -> "AuditEntry":
        """Return the audit entry of its row."""
        return cls(
            id=f"aud_{row['id']}",
            at=row["at"],
            environment_id=row["environment_id"],
            actor=row["actor"],
            action=row["action"],
            subject=row["subject"],
            detail=RawJson(row["detail"]),
            request_id=row["request_id"],
            address=row["address"],
        )


class AuditLog:
    """The stored audit log, for reading."""

    def __init__(self, session: Queryable) -> None:
        self._audit = Audit(session)

    async def list(
        self,
        environment_id: str | None,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[AuditEntry, int]:
        """Return entries of one environment, or of all for None, newest first.

        The filters match exactly.
        """
        rows, read_to = await self._audit.list(
            environment_id,
            actor=actor,
            action=action,
            subject=subject,
            before=before,
            limit=limit + 1,
            look=ROWS_PER_PAGE,
        )
        return Page.of(
            rows, limit, make=AuditEntry.from_row, key=lambda row: row["id"], read_to=read_to
        )
