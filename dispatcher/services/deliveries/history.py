"""Read deliveries, pending and ended, their attempts, and events.

Deliveries end while a client pages through them. So pages continue by id: a delivery's id does not
change with its state.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from time import time
from typing import Final
from uuid import UUID

from dispatcher.core import ids
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.deliveries import delivery_criteria
from dispatcher.services.deliveries.history_resources import (
    Attempt,
    Delivery,
    DeliveryItem,
    Event,
    EventItem,
)
from dispatcher.services.inputs.history_filters import DeliveryFilters, EventFilters
from dispatcher.services.public_ids import (
    delivery_number,
    event_number,
    no_delivery,
    no_event,
    no_webhook,
)
from dispatcher.store.queries import history as stored
from dispatcher.store.queries.delivery_search import (
    PAGE_LIMIT_ROWS,
    DeliverySearch,
    ReadIds,
    is_of_type,
    read_page,
)
from dispatcher.store.queries.environments import Environments
from dispatcher.store.queries.history import RECENT_DAYS, HistoryFilter
from dispatcher.store.session import Queryable

LISTED_DATA_LIMIT_BYTES: Final = 16 * 1024
"""Most bytes of a payload, or of an event's data, that a list includes."""
LISTED_ATTEMPTS_LIMIT: Final = 200
"""Most attempts of one delivery that are returned. Retries by people can make thousands."""
DELIVERIES_OF_EVENT_LIMIT: Final = 100
"""Deliveries that are returned with an event."""

ANY_DELIVERY: Final = DeliveryFilters()
ANY_EVENT: Final = EventFilters()


class History:
    """Reads of the history.

    The methods raise NotFoundError, StoreError and StatementTimeoutError.
    """

    def __init__(self, session: Queryable) -> None:
        self._stored = stored.History(session)
        self._search = DeliverySearch(session)
        self._environments = Environments(session)

    async def deliveries(
        self,
        environment_id: str,
        webhook_id: UUID | None = None,
        filters: DeliveryFilters = ANY_DELIVERY,
        *,
        before: int | None = None,
        after: int = -1,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[DeliveryItem, int]:
        """Return deliveries of one webhook, also a deleted one, or of the whole environment.

        Their ids are below `before` and above `after`. Raise NotFoundError if there is no such
        webhook.
        """
        criteria = _above(
            after, delivery_criteria.of_deliveries(filters, webhook_id=webhook_id, before=before)
        )
        page = await self._search.page(environment_id, criteria, limit)
        if page is None:
            raise no_webhook(webhook_id)
        items = await self._items(environment_id, page.items, LISTED_DATA_LIMIT_BYTES)
        # Leave out deliveries that have changed since their ids were read. They do not match the
        # filter any more.
        return Page(tuple(i for i in items if filters.status in (None, i.status)), next=page.next)

    async def delivery(self, environment_id: str, id_: str) -> Delivery:
        """Return one delivery with its attempts. Raise NotFoundError if there is none."""
        number = delivery_number(id_)
        items = await self._items(environment_id, [number], ids.LARGEST_ID)
        if not items:
            raise no_delivery(id_)
        rows = await self._stored.attempts(environment_id, number, LISTED_ATTEMPTS_LIMIT)
        first = None
        if items[0].next_retry_at is not None:
            first = await self._stored.waits_for(number, items[0].webhook_id)
        return Delivery.of(items[0], map(Attempt.from_row, rows), waits_for=first)

    async def attempts(self, environment_id: str, id_: str) -> tuple[Attempt, ...]:
        """Return the newest LISTED_ATTEMPTS_LIMIT attempts of a delivery, oldest first."""
        number = delivery_number(id_)
        rows = await self._stored.attempts(environment_id, number, LISTED_ATTEMPTS_LIMIT)
        if not rows and not await self._stored.items(environment_id, [number]):
            raise no_delivery(id_)
        return tuple(Attempt.from_row(row) for row in rows)

    async def events(
        self,
        environment_id: str,
        filters: EventFilters = ANY_EVENT,
        *,
        before: int | None = None,
        after: int = -1,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[EventItem, int]:
        """Return a page of events that match the filters, newest first.

        Their ids are below `before` and above `after`.
        """
        stored_filter = _above(
            after, delivery_criteria.of_ids(filters.since, filters.until, filters.type, before)
        )
        if filters.id is not None:
            stored_filter = _only(stored_filter, ids.parse_or_none(ids.EVENT_PREFIX, filters.id))
        if filters.reference is not None:
            return await self._with_reference(
                environment_id, filters.reference, stored_filter, limit
            )
        read = partial(self._stored.events, environment_id)
        page = await _read_recent(read, stored_filter, limit)
        if page is None:
            page = await read_page(read, stored_filter, (limit + 1, PAGE_LIMIT_ROWS), limit)
        rows = await self._stored.event_items(environment_id, page.items, LISTED_DATA_LIMIT_BYTES)
        return Page(tuple(map(EventItem.from_row, rows)), next=page.next)

    async def _with_reference(
        self, environment_id: str, reference: str, stored_filter: HistoryFilter, limit: int
    ) -> Page[EventItem, int]:
        event_ids = await self._search.events_with_reference(
            environment_id, reference, limit + 1, low=stored_filter.low, high=stored_filter.high
        )
        page = Page.of_ids(event_ids, limit)
        rows = await self._stored.event_items(environment_id, page.items, LISTED_DATA_LIMIT_BYTES)
        matching = [row for row in rows if is_of_type(stored_filter, row["type"])]
        return Page(tuple(map(EventItem.from_row, matching)), next=page.next)

    async def event(self, environment_id: str, id_: str) -> Event:
        """Return one event with its newest deliveries. Raise NotFoundError if there is none."""
        number = event_number(id_)
        rows = await self._stored.event_items(environment_id, [number], ids.LARGEST_ID)
        if not rows:
            raise no_event(id_)
        waiting = await self._stored.waiting(number)
        deliveries = await self._deliveries_of(
            environment_id, number, ids.LARGEST_ID, DELIVERIES_OF_EVENT_LIMIT
        )
        return Event.of(EventItem.from_row(rows[0]), waiting, deliveries)

    async def deliveries_of_event(
        self,
        environment_id: str,
        id_: str,
        *,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[DeliveryItem, int]:
        """Return a page of an event's deliveries, newest first.

        Their ids are below `before`. Raise NotFoundError if there is no such event.
        """
        number = event_number(id_)
        high = ids.LARGEST_ID if before is None else before
        page = await self._deliveries_of(environment_id, number, high, limit)
        if not page.items and not await self._stored.event_items(environment_id, [number], 0):
            raise no_event(id_)
        return page

    async def environment_of(self, id_: str) -> str | None:
        """Return the environment of an event (`evt_…`), a delivery (`dlv_…`) or a webhook (a UUID).

        Return None if the object does not exist or is no longer kept.
        """
        if (event_id := ids.parse_or_none(ids.EVENT_PREFIX, id_)) is not None:
            return await self._environments.of_event(event_id)
        if (delivery_id := ids.parse_or_none(ids.DELIVERY_PREFIX, id_)) is not None:
            return await self._environments.of_delivery(delivery_id)
        try:
            webhook_id = UUID(id_)
        except ValueError:
            return None
        return await self._environments.of_webhook(webhook_id)

    async def _deliveries_of(
        self, environment_id: str, event_id: int, before: int, limit: int
    ) -> Page[DeliveryItem, int]:
        """Return a page of an event's deliveries with ids below `before`, newest first."""
        delivery_ids = await self._stored.of_event(environment_id, event_id, before, limit + 1)
        page = Page.of_ids(delivery_ids, limit)
        items = await self._items(environment_id, page.items, LISTED_DATA_LIMIT_BYTES)
        return Page(items, next=page.next)

    async def _items(
        self, environment_id: str, delivery_ids: Collection[int], payload_limit: int
    ) -> tuple[DeliveryItem, ...]:
        """Return the state of deliveries now, each with a payload up to `payload_limit` bytes."""
        if not delivery_ids:
            return ()
        rows = await self._stored.items(environment_id, delivery_ids)
        data = await self._stored.payloads({row["event_id"] for row in rows}, payload_limit)
        return tuple(
            DeliveryItem.from_row(row, data.get(row["event_id"]), payload_limit) for row in rows
        )


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


async def _read_recent(read: ReadIds, filters: HistoryFilter, limit: int) -> Page[int, int] | None:
    """Return a page of the last days alone, which is fast, or None if they do not fill it."""
    low = ids.days_before(filters.high, time(), RECENT_DAYS)
    if filters.low >= low:
        return None
    batch = await read(replace(filters, low=low), limit + 1, limit + 1)
    return Page.of_ids(batch.ids, limit) if len(batch.ids) > limit else None


def _above(after: int, filters: HistoryFilter) -> HistoryFilter:
    """Return the filter for ids above `after` alone. Above the largest id there are none."""
    low = min(after + 1, ids.LARGEST_ID)  # PostgreSQL has no larger number of this type
    return replace(filters, low=max(filters.low, low))


def _only(filters: HistoryFilter, id_: int | None) -> HistoryFilter:
    """Return the filter for this id alone, or one that matches nothing if `filters` exclude it."""
    if id_ is None or not filters.low <= id_ < filters.high:
        return replace(filters, low=0, high=0)
    return replace(filters, low=id_, high=id_ + 1)
