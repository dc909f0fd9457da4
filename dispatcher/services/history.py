"""Read deliveries, pending and ended, their attempts, and events.

Deliveries end while a client pages through them. So pages continue by id: a delivery's id does not
change with its state.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from dispatcher.core import ids
from dispatcher.core.errors import NotFoundError
from dispatcher.core.pagination import DEFAULT_LIMIT, Page
from dispatcher.services.history_resources import (
    Attempt,
    Delivery,
    DeliveryItem,
    Event,
    EventItem,
)
from dispatcher.services.inputs.history_filters import DeliveryFilters, EventFilters
from dispatcher.store import history as stored
from dispatcher.store.history import HistoryFilter, IdsRead, recent_id
from dispatcher.store.session import Queryable

LISTED_DATA_BYTES: Final = 16 * 1024
"""Most bytes of a payload, or of an event's data, that a list includes."""
ROWS_PER_PAGE: Final = 4000
"""Approximate number of rows that are read for one page. If few match, the page stays short."""
MERGED_ENDPOINTS: Final = 50
"""Most endpoints whose histories are merged. With more, all deliveries are read through."""
ATTEMPTS_MOST: Final = 200
"""Most attempts of one delivery that are returned. People may retry one without end."""
DELIVERIES_OF_EVENT: Final = 100
"""Deliveries that are returned with an event."""

ReadIds = Callable[[HistoryFilter, int, int], Awaitable[IdsRead]]
"""A function that reads a history: filter, rows to read, ids to return."""

ANY_DELIVERY: Final = DeliveryFilters()
ANY_EVENT: Final = EventFilters()

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class History:
    """Reads of the history.

    The methods raise NotFoundError, StoreUnavailableError and StatementTimeoutError.
    """

    def __init__(self, session: Queryable) -> None:
        self._stored = stored.History(session)

    async def deliveries(
        self,
        environment_id: str,
        webhook_id: UUID | None = None,
        filters: DeliveryFilters = ANY_DELIVERY,
        *,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[DeliveryItem, int]:
        """Return deliveries of one webhook, also a deleted one, or of the whole environment.

        Raise NotFoundError if there is no such webhook.
        """
        endpoints = await self._stored.endpoints(environment_id, webhook_id, MERGED_ENDPOINTS + 1)
        if webhook_id is not None and not endpoints:
            raise NotFoundError(
                f"There is no webhook {webhook_id}. Check its id and the environment."
            )
        stored_filter = replace(
            _stored_filter(filters.since, filters.until, filters.event, before),
            status=filters.status,
        )
        if webhook_id is not None or len(endpoints) <= MERGED_ENDPOINTS:
            read = partial(self._stored.of_endpoints, endpoints)
            steps = (limit + 1, max(limit + 1, ROWS_PER_PAGE // (len(endpoints) or 1)))
        else:
            read = partial(self._stored.of_environment, environment_id)
            steps = (limit + 1, ROWS_PER_PAGE)
        page = await _read_ids(read, stored_filter, steps, limit)
        items = await self._items(environment_id, page.items, LISTED_DATA_BYTES)
        # Leave out deliveries that have changed since their ids were read. They do not match the
        # filter any more.
        return Page(tuple(i for i in items if filters.status in (None, i.status)), next=page.next)

    async def delivery(self, environment_id: str, id_: str) -> Delivery:
        """Return one delivery with its attempts. Raise NotFoundError if there is none."""
        number = _number("dlv", id_)
        items = await self._items(environment_id, [number], ids.LARGEST)
        if not items:
            raise _unknown("delivery", id_)
        rows = await self._stored.attempts(environment_id, number, ATTEMPTS_MOST)
        return Delivery.of(items[0], map(Attempt.from_row, rows))

    async def attempts(self, environment_id: str, id_: str) -> tuple[Attempt, ...]:
        """Return the attempts of a delivery, oldest first. Of very many, return the newest."""
        number = _number("dlv", id_)
        rows = await self._stored.attempts(environment_id, number, ATTEMPTS_MOST)
        if not rows and not await self._stored.items(environment_id, [number]):
            raise _unknown("delivery", id_)
        return tuple(Attempt.from_row(row) for row in rows)

    async def events(
        self,
        environment_id: str,
        filters: EventFilters = ANY_EVENT,
        *,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[EventItem, int]:
        """Return a page of events that match the filters, newest first."""
        stored_filter = _stored_filter(filters.since, filters.until, filters.type, before)
        if filters.id is not None:
            stored_filter = _only(stored_filter, _number_or_none("evt", filters.id))
        read = partial(self._stored.events, environment_id)
        page = await _read_recent(read, stored_filter, limit)
        if page is None:
            page = await _read_ids(read, stored_filter, (limit + 1, ROWS_PER_PAGE), limit)
        rows = await self._stored.event_items(environment_id, page.items, LISTED_DATA_BYTES)
        return Page(tuple(map(EventItem.from_row, rows)), next=page.next)

    async def event(self, environment_id: str, id_: str) -> Event:
        """Return one event with its newest deliveries. Raise NotFoundError if there is none."""
        number = _number("evt", id_)
        rows = await self._stored.event_items(environment_id, [number], ids.LARGEST)
        if not rows:
            raise _unknown("event", id_)
        waiting = await self._stored.waiting(number)
        page = await self._of_event(environment_id, number, ids.LARGEST, DELIVERIES_OF_EVENT)
        return Event.of(EventItem.from_row(rows[0]), waiting, page)

    async def deliveries_of_event(
        self,
        environment_id: str,
        id_: str,
        *,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[DeliveryItem, int]:
        """Return an event's deliveries to all webhooks, newest first.

        Return none if the event is unknown.
        """
        below = ids.LARGEST if before is None else before
        return await self._of_event(environment_id, _number("evt", id_), below, limit)

    async def environment_of(self, id_: str) -> str | None:
        """Return the environment of an event (`evt_…`), a delivery (`dlv_…`) or a webhook (a UUID).

        Return None if the object does not exist or is no longer kept.
        """
        if (event_id := _number_or_none("evt", id_)) is not None:
            return await self._stored.environment_of_event(event_id)
        if (delivery_id := _number_or_none("dlv", id_)) is not None:
            return await self._stored.environment_of_delivery(delivery_id)
        try:
            webhook_id = UUID(id_)
        except ValueError:
            return None
        return await self._stored.environment_of_webhook(webhook_id)

    async def _of_event(
        self, environment_id: str, event_id: int, below: int, limit: int
    ) -> Page[DeliveryItem, int]:
        """Return an event's deliveries with ids below `below`."""
        delivery_ids = await self._stored.of_event(environment_id, event_id, below, limit + 1)
        page = Page.of_items(delivery_ids, limit, key=_same)
        items = await self._items(environment_id, page.items, LISTED_DATA_BYTES)
        return Page(items, next=page.next)

    async def _items(
        self, environment_id: str, delivery_ids: Collection[int], payload_limit: int
    ) -> tuple[DeliveryItem, ...]:
        """Return the current state of deliveries, each with a payload up to `payload_limit` bytes."""
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
    low = recent_id(filters.high)
    if filters.low >= low:
        return None
    batch = await read(replace(filters, low=low), limit + 1, limit + 1)
    return Page.of_items(batch.ids, limit, key=_same) if len(batch.ids) > limit else None


async def _read_ids(
    read: ReadIds, filters: HistoryFilter, steps: Sequence[int], limit: int
) -> Page[int, int]:
    """Return a page of ids that match the filter.

    `steps` are numbers of rows to read: few first, and many only if that was not enough.
    """
    matching: list[int] = []
    for rows in steps:
        batch = await read(filters, rows, limit + 1 - len(matching))
        matching += batch.ids
        if len(matching) > limit or batch.horizon is None:
            return Page.of_items(matching, limit, key=_same)
        filters = replace(filters, high=batch.horizon)
    return Page(tuple(matching), next=filters.high)


def _same(id_: int) -> int:
    return id_


def _stored_filter(
    since: datetime | None, until: datetime | None, pattern: str | None, before: int | None
) -> HistoryFilter:
    """Return the filter for the store.

    A pattern is taken literally here: `endpoint.*` and `*` match reserved types too.
    """
    ends = [ids.LARGEST] if until is None else [ids.LARGEST, _id_at(until)]
    return HistoryFilter(
        low=0 if since is None else _id_at(since),
        high=min(ends if before is None else [*ends, before]),
        type=None if pattern == "*" else pattern,
        prefix=pattern[:-1] if pattern is not None and pattern.endswith(".*") else None,
    )


def _only(filters: HistoryFilter, id_: int | None) -> HistoryFilter:
    """Return the filter for this id alone, or one that matches nothing if `filters` exclude it."""
    if id_ is None or not filters.low <= id_ < filters.high:
        return replace(filters, low=0, high=0)
    return replace(filters, low=id_, high=id_ + 1)


def _id_at(moment: datetime) -> int:
    """Return the smallest id that is not older than `moment`. Ids have millisecond precision."""
    milliseconds = -((_EPOCH - moment) // timedelta(milliseconds=1))
    return min(max(0, (milliseconds - ids.EPOCH_MS) << ids.TIME_SHIFT), ids.LARGEST)


def _number(prefix: str, name: str) -> int:
    number = _number_or_none(prefix, name)
    if number is None:
        raise _unknown("delivery" if prefix == "dlv" else "event", name)
    return number


def _unknown(noun: str, id_: str) -> NotFoundError:
    return NotFoundError(
        f"There is no {noun} {id_!r}. Check its id and the environment. It may be too old to be kept."
    )


def _number_or_none(prefix: str, name: str) -> int | None:
    try:
        return ids.parse(prefix, name)
    except ValueError:
        return None
