"""Environments, as rows."""

from typing import Any

from dispatcher.store.session import Asked
from dispatcher.store.statements import statement


class Environments:
    """Rows are dicts of id, name, paused_at, all_paused_at, created_at and position, their place in the
    listing."""

    def __init__(self, session: Asked) -> None:
        self._session = session

    async def create(self, id: str, name: str) -> dict[str, Any] | None:
        """None: the id is taken."""
        rows = await self._session.fetch(statement("environments/create"), id, name)
        return dict(rows[0]) if rows else None

    async def count(self, most: int) -> int:
        """Return how many there are, counting up to `most`."""
        rows = await self._session.fetch(statement("environments/count"), most)
        count: int = rows[0]["count"]
        return count

    async def get(self, id: str) -> dict[str, Any] | None:
        rows = await self._session.fetch(statement("environments/get"), id)
        return dict(rows[0]) if rows else None

    async def list(self, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Newest first."""
        rows = await self._session.fetch(statement("environments/list"), before, limit)
        return [dict(row) for row in rows]
