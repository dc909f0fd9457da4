"""Read and write environments."""

from typing import Any

from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class Environments:
    """The table of environments.

    Rows are dicts of id, name, paused_at, all_paused_at, created_at and position: the place in the
    list.
    """

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def create(self, id: str, name: str) -> dict[str, Any] | None:
        """Create an environment. Return None if the id is taken."""
        rows = await self._session.fetch(statement("environments/create"), id, name)
        return dict(rows[0]) if rows else None

    async def count(self, most: int) -> int:
        """Return how many environments there are, counting up to `most`."""
        rows = await self._session.fetch(statement("environments/count"), most)
        count: int = rows[0]["count"]
        return count

    async def get(self, id: str) -> dict[str, Any] | None:
        """Return an environment, or None if there is none."""
        rows = await self._session.fetch(statement("environments/get"), id)
        return dict(rows[0]) if rows else None

    async def list(self, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Return environments, newest first."""
        rows = await self._session.fetch(statement("environments/list"), before, limit)
        return [dict(row) for row in rows]
