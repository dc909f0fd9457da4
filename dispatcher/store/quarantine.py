"""Read and change the quarantine: events that could not be fanned out, each with a reason."""

from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Quarantine:
    """The quarantined events."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def list(
        self, environment_id: str, before: int, most: int
    ) -> Sequence[Mapping[str, Any]]:
        """Return at most `most` events with ids below `before`, newest first."""
        rows = await self._session.fetch(statement("quarantine/list"), environment_id, before, most)
        return [dict(row) for row in rows]

    async def get(self, environment_id: str, id_: int) -> Mapping[str, Any] | None:
        """Return one entry, or None if there is none."""
        return await self._one(statement("quarantine/get"), environment_id, id_)

    async def release(self, environment_id: str, id_: int) -> Mapping[str, Any] | None:
        """Move an event back to the inbox. Return `event_id type reason`, or None if unknown."""
        return await self._one(statement("quarantine/release"), environment_id, id_)

    async def discard(self, environment_id: str, id_: int) -> Mapping[str, Any] | None:
        """Delete an event from quarantine. Return `event_id type reason`, or None if unknown."""
        return await self._one(statement("quarantine/discard"), environment_id, id_)

    async def _one(self, query: str, *args: object) -> Mapping[str, Any] | None:
        rows = await self._session.fetch(query, *args)
        return dict(rows[0]) if rows else None

    async def expire(self, below: int, most: int) -> Sequence[tuple[int, str]]:
        """Delete up to `most` entries whose events have ids below `below`.

        Return the events and their reasons.
        """
        rows = await self._session.fetch(statement("quarantine/expire"), below, most)
        return [(row["event_id"], row["reason"]) for row in rows]
