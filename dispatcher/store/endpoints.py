"""Endpoints, their subscriptions and what was learned about their health."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Endpoints:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def with_ids(self, ids: Collection[UUID]) -> list[dict[str, Any]]:
        """All the sending side needs of each; secret, previous_secret and headers are encrypted."""
        rows = await self._session.fetch(statement("endpoints/with_ids"), list(ids))
        return [dict(row) for row in rows]

    async def changed_since(self, version: int) -> tuple[int, list[UUID]]:
        """The current version, and the endpoints changed after `version`."""
        rows = await self._session.fetch(statement("endpoints/changed_since"), version)
        return rows[0]["version"], rows[0]["changed"]

    async def create(
        self,
        endpoint_id: UUID,
        *,
        environment_id: str,
        name: str,
        url: str,
        events: Sequence[str],
        secret: bytes,
    ) -> dict[str, Any] | None:
        """The new row; None when there is no such environment."""
        rows = await self._session.fetch(
            statement("endpoints/create"), endpoint_id, environment_id, name, url, events, secret
        )
        return dict(rows[0]) if rows else None

    async def list(self, environment_id: str | None) -> Sequence[dict[str, Any]]:
        rows = await self._session.fetch(statement("endpoints/list"), environment_id)
        return [dict(row) for row in rows]

    async def delete(self, endpoint_id: UUID, environment_id: str | None) -> bool:
        """Whether there was such an endpoint."""
        rows = await self._session.fetch(statement("endpoints/delete"), endpoint_id, environment_id)
        return bool(rows)

    async def disable(self, endpoint_id: UUID, reason: str) -> Mapping[str, Any] | None:
        """`environment_id url` when this call disabled it, and told who subscribed to that; None
        when it was not active."""
        rows = await self._session.fetch(statement("endpoints/disable"), endpoint_id, reason)
        return dict(rows[0]) if rows else None

    async def pause(self, endpoint_id: UUID, seconds: float) -> None:
        await self._session.fetch(statement("endpoints/pause"), endpoint_id, seconds)

    async def note_failures(self, counts: Mapping[UUID, int], disable_after: float) -> set[UUID]:
        """Add failures; returns the endpoints that have only failed for `disable_after` seconds."""
        rows = await self._session.fetch(
            statement("endpoints/note_failures"), list(counts), list(counts.values()), disable_after
        )
        return {row["endpoint_id"] for row in rows if row["hopeless"]}

    async def note_successes(self, ids: Collection[UUID]) -> None:
        await self._session.fetch(statement("endpoints/note_successes"), list(ids))
