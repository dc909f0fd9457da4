"""Read and write the catalogue of event types, one row for each type and environment.

`example` and `schema` are JSON texts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from dispatcher.core.model import RawJson
from dispatcher.store.rows import all_rows, first_row, only_row
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement


class EventTypeRow(TypedDict):
    """An event type of a catalogue."""

    environment_id: str
    name: str
    description: str
    example: RawJson | None
    schema: RawJson | None
    enforce: bool
    created_at: datetime
    updated_at: datetime


class EventTypes:
    """The table of event types.

    Rows have the keys `environment_id name description example schema enforce created_at
    updated_at`.
    """

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def list(self, environment_id: str, after: str, limit: int) -> Sequence[EventTypeRow]:
        """Return at most `limit` types whose names come after `after`, by name."""
        rows = await self._session.fetch(
            statement("event_types/list"), environment_id, after, limit
        )
        return all_rows(EventTypeRow, rows)

    async def outline(self, environment_id: str, limit: int) -> Sequence[EventTypeRow]:
        """Return at most `limit` types by name.

        `example` is None, and `schema` is the text `true` if the type has one.
        """
        rows = await self._session.fetch(statement("event_types/outline"), environment_id, limit)
        return all_rows(EventTypeRow, rows)

    async def named(self, environment_id: str, names: Sequence[str]) -> Mapping[str, EventTypeRow]:
        """Return the existing types among `names`, by name."""
        rows = await self._session.fetch(statement("event_types/named"), environment_id, names)
        return {row["name"]: row for row in all_rows(EventTypeRow, rows)}

    async def search(
        self, environment_id: str, text: str, *, look: int, limit: int
    ) -> Sequence[str]:
        """Return the names of types that contain the text, ignoring case.

        Read up to `look` types, and return up to `limit`.
        """
        rows = await self._session.fetch(
            statement("event_types/search"), environment_id, text.lower(), look, limit
        )
        return [row["name"] for row in rows]

    async def get(self, environment_id: str, name: str) -> EventTypeRow | None:
        """Return one type, or None if there is none."""
        rows = await self._session.fetch(statement("event_types/get"), environment_id, name)
        return first_row(EventTypeRow, rows)

    async def lock(self, environment_id: str) -> bool:
        """Lock this catalogue until the transaction ends.

        Return False if there is no such environment.
        """
        return bool(await self._session.fetch(statement("event_types/lock"), environment_id))

    async def count(self, environment_id: str) -> int:
        """Return how many types an environment has."""
        rows = await self._session.fetch(statement("event_types/count"), environment_id)
        count: int = rows[0]["count"]
        return count

    async def put(
        self,
        environment_id: str,
        name: str,
        *,
        description: str,
        example: str | None,
        schema: str | None,
        enforce: bool,
    ) -> EventTypeRow:
        """Create or replace a type. Return its row as it is now."""
        rows = await self._session.fetch(
            statement("event_types/put"),
            environment_id,
            name,
            description,
            example,
            schema,
            enforce,
        )
        return only_row(EventTypeRow, rows)

    async def delete(self, environment_id: str, name: str) -> bool:
        """Delete a type. Return False if there was no such type."""
        rows = await self._session.fetch(statement("event_types/delete"), environment_id, name)
        return bool(rows)
