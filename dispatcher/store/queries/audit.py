"""Read and write the audit log: each change with its actor, time and client address."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypedDict
from uuid import UUID

import asyncpg

from dispatcher.core.model import RawJson
from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement

Via = Literal["api", "dashboard"]
"""Where an actor asked for a change."""


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
    via: Via | None


class AuditNameRow(TypedDict):
    """The name of an actor or a subject. The id of an event type is `<environment>/<type>`."""

    kind: Literal["token", "webhook", "environment", "event_type"]
    id: str
    name: str
    is_gone: bool


class AuditIds(NamedTuple):
    """The ids to name, by kind. Event types are pairs of environment and type."""

    tokens: Collection[UUID]
    endpoints: Collection[UUID]
    environments: Collection[str]
    event_types: Collection[tuple[str, str]]


class Part(NamedTuple):
    """The part of the log to read: ids below `before`, the most entries to return, and to read."""

    before: int | None
    limit: int
    look: int


class AuditRead(NamedTuple):
    """Entries, newest first, and the last id that was read, None if the log was read to its end."""

    rows: list[AuditRow]
    looked: int | None


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
        via: Via | None,
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
            via,
        )

    async def list(
        self,
        environment_id: str | None,
        *,
        actor: str | None,
        action: str | None,
        subject: str | None,
        part: Part,
    ) -> AuditRead:
        """Return matching entries, newest first, and the last id that was read.

        The id is None if the log was read to its end. A filter may match few entries, so the id
        tells where the next page begins.
        """
        rows = await self._session.fetch(
            statement("audit/list"), environment_id, actor, action, subject, *part
        )
        return _read(rows)

    async def of_subject(
        self,
        environment_id: str,
        subject: str,
        *,
        actor: str | None,
        action: str | None,
        part: Part,
    ) -> AuditRead:
        """Return entries as `list` does, of one subject, by an index."""
        rows = await self._session.fetch(
            statement("audit/of_subject"), environment_id, subject, actor, action, *part
        )
        return _read(rows)

    async def of_actor(
        self,
        environment_id: str,
        actor: str,
        *,
        subject: str | None,
        action: str | None,
        part: Part,
    ) -> AuditRead:
        """Return entries as `list` does, of one actor, by an index."""
        rows = await self._session.fetch(
            statement("audit/of_actor"), environment_id, actor, subject, action, *part
        )
        return _read(rows)

    async def actors(self, environment_id: str, limit: int) -> Sequence[str]:
        """Return the first `limit` actors of an environment."""
        rows = await self._session.fetch(statement("audit/actors"), environment_id, limit)
        return [row["actor"] for row in rows]

    async def names(self, ids: AuditIds) -> Sequence[AuditNameRow]:
        """Return the names of actors and subjects, also of revoked and deleted ones."""
        rows = await self._session.fetch(
            statement("audit/names"),
            list(ids.tokens),
            list(ids.endpoints),
            list(ids.environments),
            [environment_id for environment_id, _ in ids.event_types],
            [name for _, name in ids.event_types],
        )
        return all_rows(AuditNameRow, rows)

    async def prune(self, below: int, limit: int) -> int:
        """Delete up to `limit` entries with ids below `below`. Return how many were deleted."""
        return len(await self._session.fetch(statement("audit/prune"), below, limit))


def _read(records: Sequence[asyncpg.Record]) -> AuditRead:
    rows = all_rows(AuditRow, [row for row in records if row["id"] is not None])
    return AuditRead(rows, records[0]["looked"])
