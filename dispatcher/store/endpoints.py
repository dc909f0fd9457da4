"""Endpoints, their subscriptions and what was learned about their health."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from dispatcher.core.model import SetBack
from dispatcher.store.session import Asked
from dispatcher.store.statements import statement

NAMED = ("name", "description", "url", "active")
SETTINGS = (
    *("headers", "signature_schemes", "max_in_flight"),
    *("rate_limit", "timeout_ms", "retry", "metadata"),
)


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

    async def count(self, environment_id: str, most: int) -> int:
        """Return how many an environment has, counting up to `most`; asked after `bump`."""
        rows = await self._session.fetch(statement("endpoints/count"), environment_id, most)
        count: int = rows[0]["count"]
        return count

    async def bump(self) -> int:
        """The version of a change that is about to be made, in the same transaction."""
        rows = await self._session.fetch(statement("endpoints/bump"))
        version: int = rows[0]["version"]
        return version

    async def create(
        self, endpoint_id: UUID, environment_id: str, version: int, columns: Mapping[str, Any]
    ) -> bool:
        """False when there is no such environment. `columns`: name description url active ordered
        secret headers signature_schemes max_in_flight rate_limit timeout_ms retry metadata."""
        rows = await self._session.fetch(
            statement("endpoints/create"),
            endpoint_id,
            environment_id,
            version,
            *map(columns.__getitem__, (*NAMED, "ordered", "secret", *SETTINGS)),
        )
        return bool(rows)

    async def subscribe(self, endpoint_id: UUID, patterns: Sequence[str]) -> None:
        """To these patterns, and to nothing else."""
        await self._session.fetch(statement("endpoints/subscribe"), endpoint_id, patterns)

    async def update(self, endpoint_id: UUID, version: int, columns: Mapping[str, Any]) -> None:
        """All of `columns` as in `create`, but for ordered and secret."""
        await self._session.fetch(
            statement("endpoints/update"),
            endpoint_id,
            version,
            *map(columns.__getitem__, (*NAMED, *SETTINGS)),
        )

    async def rotate(
        self, endpoint_id: UUID, version: int, secret: bytes, overlap_seconds: float
    ) -> None:
        await self._session.fetch(
            statement("endpoints/rotate"), endpoint_id, version, secret, overlap_seconds
        )

    async def get(self, endpoint_id: UUID, environment_id: str | None) -> Mapping[str, Any] | None:
        """What people see of it; headers are encrypted."""
        rows = await self._session.fetch(statement("endpoints/get"), endpoint_id, environment_id)
        return dict(rows[0]) if rows else None

    async def list(
        self, environment_id: str | None, *, after: UUID | None = None, limit: int | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """As `get`, oldest first."""
        rows = await self._session.fetch(statement("endpoints/list"), environment_id, after, limit)
        return [dict(row) for row in rows]

    async def delete(self, endpoint_id: UUID, version: int) -> None:
        await self._session.fetch(statement("endpoints/delete"), endpoint_id, version)

    async def disable(self, endpoint_id: UUID, reason: str) -> Mapping[str, Any] | None:
        """`environment_id url` when this call disabled it, and told who subscribed to that; None
        when it was not active."""
        rows = await self._session.fetch(statement("endpoints/disable"), endpoint_id, reason)
        return dict(rows[0]) if rows else None

    async def bring_forward(self, step: SetBack) -> None:
        """End the rests of endpoints at home in the step's shards as much earlier."""
        await self._session.fetch(
            statement("endpoints/bring_forward"), list(step.shards), step.seconds, step.horizon
        )

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
