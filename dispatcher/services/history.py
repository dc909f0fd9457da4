"""Read deliveries, pending and ended, their attempts, and events.

Deliveries end while a client pages through them. So pages continue by id: a delivery's id does not
change with its state.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
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
    delivery,
    delivery_item,
    event,
)
from dispatcher.services.inputs.history import DeliveryFilters, EventFilters
from dispatcher.store import history as stored
from dispatcher.store.history import Seen, Wanted
from dispatcher.store.session import Queryable

LISTED: Final = 16 * 1024
"""Most bytes of a payload, or of an event's data, that a list includes."""
LOOKED_AT: Final = 4000
"""Approximate number of rows that are read for one page. If few match, the page stays short."""
LOOKED_INTO: Final = 50
"""Most endpoints whose histories are merged. With more, all deliveries are read through."""
ATTEMPTS_SHOWN: Final = 200
"""Most attempts of one delivery that are returned. People may retry one without end."""
DELIVERIES_SHOWN: Final = 100
"""Deliveries that are returned with an event."""

Look = Callable[[Wanted, int, int], Awaitable[Seen]]
"""A function that reads a history: filter, rows to read, ids to return."""

ANY_DELIVERY: Final = DeliveryFilters()
ANY_EVENT: Final = EventFilters()

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class History:
    """Reads of the history. The methods raise NotFoundError, StoreUnavailableError and StatementTimeoutError."""

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
    ) -> Page[DeliveryItem]:
        """Return deliveries of one webhook, also a deleted one, or of the whole environment.

        Raise NotFoundError if there is no such webhook.
        """
        endpoints = await self._stored.endpoints(environment_id, webhook_id, LOOKED_INTO + 1)
        if webhook_id is not None and not endpoints:
            raise NotFoundError(f"there is no webhook {webhook_id}")
        wanted = _wanted(filters.since, filters.until, filters.event, before)
        wanted = replace(wanted, status=filters.status)
        if webhook_id is not None or len(endpoints) <= LOOKED_INTO:
            look = partial(self._stored.of_endpoints, endpoints)
            sizes = (limit + 1, max(limit + 1, LOOKED_AT // (len(endpoints) or 1)))
        else:
            look = partial(self._stored.of_environment, environment_id)
            sizes = (limit + 1, LOOKED_AT)
        found = await _followed(look, wanted, sizes, limit)
        items = await self._items(environment_id, found.items, LISTED)
        # Leave out deliveries that have changed since their ids were read. They do not match the
        # filter any more.
        return Page(tuple(i for i in items if filters.status in (None, i.status)), next=found.next)

    async def delivery(self, environment_id: str, id_: str) -> Delivery:
        """Return one delivery with its attempts. Raise NotFoundError if there is none."""
        number = _number("dlv", id_)
        items = await self._items(environment_id, [number], ids.LARGEST)
        if not items:
            raise NotFoundError(f"there is no delivery {id_!r}")
        attempts = await self._stored.attempts(environment_id, number, ATTEMPTS_SHOWN)
        return delivery(items[0], attempts)

    async def attempts(self, environment_id: str, id_: str) -> tuple[Attempt, ...]:
        """Return the attempts of a delivery, oldest first. Of very many, return the newest."""
        number = _number("dlv", id_)
        rows = await self._stored.attempts(environment_id, number, ATTEMPTS_SHOWN)
        if not rows and not await self._stored.items(environment_id, [number]):
            raise NotFoundError(f"there is no delivery {id_!r}")
        return tuple(Attempt.from_row(row) for row in rows)

    async def events(
        self,
        environment_id: str,
        filters: EventFilters = ANY_EVENT,
        *,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[EventItem]:
        """Return a page of events that match the filters, newest first."""
        wanted = _wanted(filters.since, filters.until, filters.type, before)
        if filters.id is not None:
            wanted = _only(wanted, _number_or_none("evt", filters.id))
        look = partial(self._stored.events, environment_id)
        found = await _followed(look, wanted, (limit + 1, LOOKED_AT), limit)
        rows = await self._stored.event_items(environment_id, found.items, LISTED)
        return Page(tuple(EventItem.from_row(row) for row in rows), next=found.next)

    async def event(self, environment_id: str, id_: str) -> Event:
        """Return one event with its newest deliveries. Raise NotFoundError if there is none."""
        number = _number("evt", id_)
        rows = await self._stored.event_items(environment_id, [number], ids.LARGEST)
        if not rows:
            raise NotFoundError(f"there is no event {id_!r}")
        waiting: Any = await self._stored.waiting(number)
        made = await self._made_of(environment_id, number, ids.LARGEST, DELIVERIES_SHOWN)
        return event(EventItem.from_row(rows[0]), waiting, made)

    async def deliveries_of_event(
        self,
        environment_id: str,
        id_: str,
        *,
        before: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Page[DeliveryItem]:
        """Return an event's deliveries to all webhooks, newest first.

        Return none if the event is unknown.
        """
        below = ids.LARGEST if before is None else before
        return await self._made_of(environment_id, _number("evt", id_), below, limit)

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

    async def _made_of(
        self, environment_id: str, event_id: int, below: int, limit: int
    ) -> Page[DeliveryItem]:
        found = await self._stored.of_event(environment_id, event_id, below, limit + 1)
        items = await self._items(environment_id, found[:limit], LISTED)
        return Page(items, next=found[limit - 1] if len(found) > limit else None)

    async def _items(
        self, environment_id: str, delivery_ids: Collection[int], most: int
    ) -> tuple[DeliveryItem, ...]:
        if not delivery_ids:
            return ()
        rows = await self._stored.items(environment_id, delivery_ids)
        payloads = await self._stored.payloads({row["event_id"] for row in rows}, most)
        return tuple(delivery_item(row, payloads.get(row["event_id"]), most) for row in rows)


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


async def _followed(look: Look, wanted: Wanted, sizes: Sequence[int], limit: int) -> Page[int]:
    """Return a page of ids. Read few rows first, and many rows only if that was not enough."""
    found: list[int] = []
    for rows in sizes:
        seen = await look(wanted, rows, limit + 1 - len(found))
        found += seen.ids
        if len(found) > limit:
            return Page(tuple(found[:limit]), next=found[limit - 1])
        if seen.horizon is None:
            return Page(tuple(found), next=None)
        wanted = replace(wanted, high=seen.horizon)
    return Page(tuple(found), next=wanted.high)


def _wanted(
    since: datetime | None, until: datetime | None, pattern: str | None, before: int | None
) -> Wanted:
    """Return the filter for the store.

    A pattern is taken literally here: `endpoint.*` and `*` match reserved types too.
    """
    ends = [ids.LARGEST] if until is None else [ids.LARGEST, _id_at(until)]
    return Wanted(
        low=0 if since is None else _id_at(since),
        high=min(ends if before is None else [*ends, before]),
        type=None if pattern == "*" else pattern,
        prefix=pattern[:-1] if pattern is not None and pattern.endswith(".*") else None,
    )


def _only(wanted: Wanted, id_: int | None) -> Wanted:
    if id_ is None or not wanted.low <= id_ < wanted.high:
        return replace(wanted, low=0, high=0)
    return replace(wanted, low=id_, high=id_ + 1)


def _id_at(moment: datetime) -> int:
    """Return the smallest id that is not older than `moment`. Ids have millisecond precision."""
    milliseconds = -((_EPOCH - moment) // timedelta(milliseconds=1))
    return min(max(0, (milliseconds - ids.EPOCH_MS) << ids.TIME_SHIFT), ids.LARGEST)


def _number(prefix: str, name: str) -> int:
    number = _number_or_none(prefix, name)
    if number is None:
        raise NotFoundError(f"there is no {name!r}")
    return number


def _number_or_none(prefix: str, name: str) -> int | None:
    try:
        return ids.parse(prefix, name)
    except ValueError:
        return None
