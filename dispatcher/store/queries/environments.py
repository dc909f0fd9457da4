"""Read and write environments, and find that of an event, delivery or webhook."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

import asyncpg

from dispatcher.store.queries.history import History
from dispatcher.store.rows import all_rows, first_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class EnvironmentRow(TypedDict):
    """An environment. `position` is its place in the list."""

    id: str
    name: str
    paused_at: datetime | None
    all_paused_at: datetime | None
    created_at: datetime
    position: int


class EnvironmentNameRow(TypedDict):
    """The name of an environment."""

    id: str
    name: str


class RenamedEnvironmentRow(EnvironmentRow):
    """An environment that was just renamed, with the name it had."""

    former_name: str


class Environments:
    """The table of environments.

    Rows are dicts of id, name, paused_at, all_paused_at, created_at and position: the place in the
    list.
    """

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def create(self, id: str, name: str) -> EnvironmentRow | None:
        """Create an environment. Return None if the id is taken."""
        rows = await self._session.fetch(statement("environments/create"), id, name)
        return first_row(EnvironmentRow, rows)

    async def rename(self, id: str, name: str) -> RenamedEnvironmentRow | None:
        """Rename an environment. Return None if there is none."""
        rows = await self._session.fetch(statement("environments/rename"), id, name)
        return first_row(RenamedEnvironmentRow, rows)

    async def count(self, limit: int) -> int:
        """Return how many environments there are, counting up to `limit`."""
        rows = await self._session.fetch(statement("environments/count"), limit)
        count: int = rows[0]["count"]
        return count

    async def get(self, id: str) -> EnvironmentRow | None:
        """Return an environment, or None if there is none."""
        rows = await self._session.fetch(statement("environments/get"), id)
        return first_row(EnvironmentRow, rows)

    async def list(self, *, before: int | None, limit: int) -> list[EnvironmentRow]:
        """Return environments, newest first."""
        rows = await self._session.fetch(statement("environments/list"), before, limit)
        return all_rows(EnvironmentRow, rows)

    async def names(self, ids: Collection[str]) -> Sequence[EnvironmentNameRow]:
        """Return the names of environments. Unknown ids are left out."""
        rows = await self._session.fetch(statement("environments/names"), list(ids))
        return all_rows(EnvironmentNameRow, rows)

    async def search(self, text: str, *, look: int, limit: int) -> Sequence[EnvironmentRow]:
        """Return environments whose id or name contains the text, ignoring case.

        Read up to `look` environments, and return up to `limit`.
        """
        rows = await self._session.fetch(statement("environments/search"), text, look, limit)
        return all_rows(EnvironmentRow, rows)

    async def of_event(self, event_id: int) -> str | None:
        """Return the id of an event's environment, or None if there is no such event."""
        return _id(await self._session.fetch(statement("environments/of_event"), event_id))

    async def of_delivery(self, delivery_id: int) -> str | None:
        """Return the id of a delivery's environment, pending or ended, or None if there is none."""
        for above, until in await History(self._session).spans(delivery_id):
            rows = await self._session.fetch(
                statement("environments/of_delivery"), delivery_id, above, until
            )
            if rows:
                return _id(rows)
        return None

    async def of_webhook(self, webhook_id: UUID) -> str | None:
        """Return the id of a webhook's environment, also of a deleted one, or None."""
        return _id(await self._session.fetch(statement("environments/of_webhook"), webhook_id))


def _id(rows: Sequence[asyncpg.Record]) -> str | None:
    return rows[0]["environment_id"] if rows else None
