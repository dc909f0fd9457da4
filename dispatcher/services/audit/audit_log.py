"""Write an audit entry within the transaction of each change, and read the audit log."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from dispatcher.core.model import RawJson
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.audit.audit_names import Names, is_looked_up, read_names, token_names
from dispatcher.store.queries.audit import Audit, AuditIds, AuditRow, Part, Via
from dispatcher.store.session import Queryable

PAGE_LIMIT_ROWS = 10_000
"""Most entries that are read for one page. A filter may leave out most of them."""
ACTORS_LIMIT = 200
"""Most actors of an environment that are listed to choose from."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The client of a request: `token:<id>`, `cli:<user>` or `dispatcher`.

    `request_id` and `address` name the request and the client's address, `via` where it was sent.
    """

    name: str
    request_id: str | None = None
    address: str | None = None
    via: Via | None = None


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
            via=self._actor.via,
        )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. `environment_id` is None if the change concerns all environments.

    `via` is None for a command on the database and for the daemon itself. `actor_name` is the name
    of the token. `subject_name` is the name of the changed webhook, token or environment, and
    `subject_exists` tells whether it still exists, None if that is not known.
    """

    id: str
    at: datetime
    environment_id: str | None
    actor: str
    action: str
    subject: str
    detail: RawJson
    request_id: str | None
    address: str | None
    via: Via | None
    actor_name: str | None
    subject_name: str | None
    subject_exists: bool | None

    @classmethod
    def from_row(cls, row: AuditRow, names: Names) -> "AuditEntry":
        """Return the audit entry of its row."""
        subject = names.subject(row)
        is_known = is_looked_up(row["action"], row["subject"])
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
            via=row["via"],
            actor_name=names.actor(row),
            subject_name=None if subject is None else subject["name"],
            subject_exists=(subject is not None and not subject["is_gone"]) if is_known else None,
        )


@dataclass(frozen=True, slots=True)
class KnownActor:
    """An actor of an environment. `token_name` is the name of its token, None if it has none."""

    id: str
    token_name: str | None


class AuditLog:
    """The stored audit log, for reading."""

    def __init__(self, session: Queryable) -> None:
        self._session = session
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
        part = Part(before, limit + 1, PAGE_LIMIT_ROWS)
        if environment_id is not None and subject is not None:
            read = await self._audit.of_subject(
                environment_id, subject, actor=actor, action=action, part=part
            )
        elif environment_id is not None and actor is not None:
            read = await self._audit.of_actor(
                environment_id, actor, subject=subject, action=action, part=part
            )
        else:
            read = await self._audit.list(
                environment_id, actor=actor, action=action, subject=subject, part=part
            )
        names = await read_names(self._session, read.rows)
        return Page.of(
            read.rows,
            limit,
            make=lambda row: AuditEntry.from_row(row, names),
            key=lambda row: row["id"],
            read_to=read.looked,
        )

    async def actors(self, environment_id: str) -> tuple[KnownActor, ...]:
        """Return the actors of an environment, at most ACTORS_LIMIT."""
        actors = await self._audit.actors(environment_id, ACTORS_LIMIT)
        tokens = await token_names(self._session, actors)
        return tuple(KnownActor(actor, tokens.get(actor)) for actor in actors)

    async def webhook_names(self, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Return the names of webhooks that entries mention, also of deleted ones."""
        rows = await self._audit.names(AuditIds((), ids, (), ())) if ids else ()
        return {UUID(row["id"]): row["name"] for row in rows}
