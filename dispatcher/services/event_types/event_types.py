"""Read and delete the event types of an environment: its catalogue.

A type that is not in the catalogue may be emitted as well. If a type's schema is enforced, its
events pass the schema check before they are sent.
"""

from functools import partial
from typing import Final

from dispatcher.core import event_patterns
from dispatcher.core.errors import (
    NotFoundError,
)
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import SEARCHED_LIMIT, Page, PageBounds, fill_page
from dispatcher.services.audit.audit_log import Actor, Journal
from dispatcher.services.event_types.event_type_resource import EventType
from dispatcher.store.queries import event_types as stored
from dispatcher.store.session import Queryable

OUTLINED_LIMIT: Final = 1000
"""Types on one page of the dashboard."""
STEP_LIMIT_TYPES: Final = 20
"""Types that are read in one step. Each may have texts of 128 KiB."""
ROW_BYTES: Final = 200
"""Approximate bytes that field names, times and the like take in a response."""


class EventTypes:
    """The catalogue of event types.

    `get` and `delete` raise NotFoundError for a type that is not in the environment. All methods
    raise StoreError and StatementTimeoutError. Call `delete` in a transaction.
    """

    def __init__(self, session: Queryable, actor: Actor) -> None:
        self._stored = stored.EventTypes(session)
        self._journal = Journal(session, actor)

    async def list(self, environment_id: str) -> tuple[EventType, ...]:
        """Return at most `OUTLINED_LIMIT` types by name, for a page without examples and schemas.

        `schema` is `true` if the type has one.
        """
        rows = await self._stored.outline(environment_id, OUTLINED_LIMIT)
        return tuple(EventType.from_row(row) for row in rows)

    async def page(
        self, environment_id: str, *, after: str = "", limit: int, most_bytes: int
    ) -> Page[EventType, str]:
        """Return a page of the types whose names come after `after`, by name.

        A page has at most `limit` types, and about `most_bytes` bytes of their texts at most.
        """
        return await fill_page(
            partial(self._stored.list, environment_id),
            after,
            PageBounds(limit, most_bytes, STEP_LIMIT_TYPES),
            key=lambda row: row["name"],
            size=_size,
            make=EventType.from_row,
        )

    async def search(self, environment_id: str, text: str, *, limit: int) -> tuple[str, ...]:
        """Return the names of types that contain the text, the best match first."""
        names = await self._stored.search(environment_id, text, look=SEARCHED_LIMIT, limit=limit)
        return tuple(names)

    async def get(self, environment_id: str, name: str) -> EventType:
        """Return one type. Raise NotFoundError if there is none."""
        row = await self._stored.get(environment_id, name) if event_patterns.is_type(name) else None
        if row is None:
            raise _unknown(name)
        return EventType.from_row(row)

    async def sample(self, environment_id: str, type: str) -> RawJson | None:
        """Return the example of a type, or None if the catalogue has none."""
        row = await self._stored.get(environment_id, type)
        return None if row is None else row["example"]

    async def delete(self, environment_id: str, name: str) -> None:
        """Delete a type. Its events are sent as before, without a schema check.

        Raise NotFoundError if there is no such type.
        """
        if not (event_patterns.is_type(name) and await self._stored.delete(environment_id, name)):
            raise _unknown(name)
        await self._journal.note("event_type.delete", name, environment_id)


def _size(row: stored.EventTypeRow) -> int:
    """Return approximately how many bytes a type takes in a response."""
    texts = (row["name"], row["description"], row["example"], row["schema"])
    return sum(len(text or "") for text in texts) + ROW_BYTES


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(
        f"There is no event type {name!r} in the catalogue. Check its name and the environment."
    )
