"""Events that could not be fanned out, put aside with a reason."""

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Quarantine:
    def __init__(self, session: Asked) -> None:
        self._session = session

    async def list(
        self, environment_id: str, before: int, most: int
    ) -> Sequence[Mapping[str, Any]]:
        """Those with ids below `before`, newest first."""
        rows = await self._session.fetch(statement("quarantine/list"), environment_id, before, most)
        return [dict(row) for row in rows]

    async def get(self, environment_id: str, id_: int) -> Mapping[str, Any] | None:
        return await self._one(statement("quarantine/get"), environment_id, id_)

    async def release(self, environment_id: str, id_: int) -> Mapping[str, Any] | None:
        """Put it back into the inbox; `event_id type reason` of what was there to release."""
        return await self._one(statement("quarantine/release"), environment_id, id_)

    async def discard(self, environment_id: str, id_: int) -> Mapping[str, Any] | None:
        """Forget it; `event_id type reason` of what was there."""
        return await self._one(statement("quarantine/discard"), environment_id, id_)

    async def _one(self, query: str, *args: object) -> Mapping[str, Any] | None:
        rows = await self._session.fetch(query, *args)
        return dict(rows[0]) if rows else None

    async def expire(self, below: int, most: int) -> Sequence[tuple[int, str]]:
        """End up to `most` of events with ids below one; return the events and their reasons."""
        rows = await self._session.fetch(statement("quarantine/expire"), below, most)
        return [(row["event_id"], row["reason"]) for row in rows]
