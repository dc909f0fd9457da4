"""Who changed what: written by the service layer in the transaction of each change, and read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from dispatcher.core.model import RawJson
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.store.audit import Audit
from dispatcher.store.session import Asked

LOOK = 10_000
"""Entries looked at for one page, when a filter leaves out most."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: `token:<id>`, `cli:<user>` or `dispatcher`; and which request, from where."""

    name: str
    request_id: str | None = None
    address: str | None = None


class Journal:
    """What one actor does in one transaction."""

    def __init__(self, session: Asked, actor: Actor) -> None:
        self._audit = Audit(session)
        self._actor = actor

    async def note(
        self, action: str, subject: str, environment_id: str | None, **detail: object
    ) -> None:
        """`action` is `<noun>.<verb>`, `subject` the id; `detail` is what changed, never a secret."""
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
    """One change. `environment_id` None: it concerns all of them."""

    id: str
    at: datetime
    environment_id: str | None
    actor: str
    action: str
    subject: str
    detail: RawJson
    request_id: str | None
    address: str | None


class Trail:
    """What was noted, for those who ask later."""

    def __init__(self, session: Asked) -> None:
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
    ) -> Page[AuditEntry]:
        """Newest first: of one environment, or all there is for None. The filters are exact."""
        rows, looked = await self._audit.list(
            environment_id,
            actor=actor,
            action=action,
            subject=subject,
            before=before,
            limit=limit + 1,
            look=LOOK,
        )
        shown = rows[:limit]
        if len(rows) > limit:
            looked = shown[-1]["id"]
        return Page(tuple(map(_entry, shown)), looked)


def _entry(row: dict[str, Any]) -> AuditEntry:
    return AuditEntry(
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
