"""Find events by what people have in hand: a reference, an idempotency key, text of a payload."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dispatcher.core import ids
from dispatcher.services.deliveries import delivery_criteria
from dispatcher.services.deliveries.history import LISTED_DATA_LIMIT_BYTES
from dispatcher.services.deliveries.history_resources import EventItem
from dispatcher.store.queries import events as stored_events
from dispatcher.store.queries.delivery_search import DeliverySearch
from dispatcher.store.queries.history import History
from dispatcher.store.session import Queryable

EVENTS_LIMIT: Final = 10
"""Events of one kind that a search returns."""
EVENTS_SEARCHED_LIMIT: Final = 20_000
SEARCHED_LIMIT_BYTES: Final = 16 * 2**20
"""Events, and bytes of their data as stored, that one search of payloads reads: about 30 ms."""


@dataclass(frozen=True, slots=True)
class TextHits:
    """Events whose data contains a text, newest first.

    `looked_to` is the time down to which payloads were searched, and `next` the id to go on below.
    Both are None if all of the time range was searched.
    """

    events: tuple[EventItem, ...]
    looked_to: datetime | None
    next: int | None


class Search:
    """Searches in one environment. The methods raise StoreError and StatementTimeoutError."""

    def __init__(self, session: Queryable) -> None:
        self._search = DeliverySearch(session)
        self._history = History(session)
        self._events = stored_events.Events(session)

    async def named(self, environment_id: str, text: str) -> tuple[EventItem, ...]:
        """Return the events with this idempotency key or reference, newest first."""
        by_key = await self._events.of_keys(environment_id, {text})
        by_reference = await self._search.events_with_reference(environment_id, text, EVENTS_LIMIT)
        return await self._items(environment_id, {*by_key.values(), *by_reference})

    async def with_text(
        self, environment_id: str, text: str, *, since: datetime | None, before: int | None
    ) -> TextHits:
        """Return events whose data contains the text, as it is or as JSON writes it."""
        texts = list({text, json.dumps(text)[1:-1]})
        read = await self._search.events_with_text(
            environment_id,
            texts,
            delivery_criteria.of_ids(since, None, None, before),
            rows=EVENTS_SEARCHED_LIMIT,
            size_bytes=SEARCHED_LIMIT_BYTES,
            limit=EVENTS_LIMIT,
        )
        looked_to = None if read.horizon is None else ids.created_at(read.horizon)
        items = await self._items(environment_id, set(read.ids))
        return TextHits(items, looked_to, read.horizon)

    async def _items(self, environment_id: str, event_ids: set[int]) -> tuple[EventItem, ...]:
        if not event_ids:
            return ()
        newest_ids = sorted(event_ids, reverse=True)[:EVENTS_LIMIT]
        rows = await self._history.event_items(environment_id, newest_ids, LISTED_DATA_LIMIT_BYTES)
        return tuple(map(EventItem.from_row, rows))


def is_text_to_search(text: str) -> bool:
    """Return True if payloads may be searched for the text. A shorter one matches nearly all."""
    return 3 <= len(text) <= 200
