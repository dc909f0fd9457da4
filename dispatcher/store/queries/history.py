"""Read deliveries, pending and ended, their attempts, and events.

Each statement reads at most the number of rows that its caller asks for, in the order of an index.
Sessions should set plan_cache_mode=force_custom_plan, so that partitions are pruned.

A statement locks every partition that it may read, and the lock table has room for a few thousand
relations. So a history of more than DAYS_AT_ONCE_LIMIT days is read in spans of that many days, one
statement each, the latest first. A list looks for the end of a delivery only in as many days after
it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import time
from typing import Literal, NamedTuple, TypedDict
from uuid import UUID

import asyncpg

from dispatcher.core.ids import DAY_MS, LARGEST_ID, TIME_SHIFT, days_before
from dispatcher.core.model import RawJson, Status
from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement

DAYS_AT_ONCE_LIMIT = 42
"""Days, one partition each, that one statement reads of a long history.

A list may read twice as many in one statement: see `History.part`.
"""
RECENT_DAYS = 2
"""Days before the end of a list in which a page is looked for first.

A statement over the partitions of a month takes a millisecond to plan.
"""


Place = Literal["inbox", "schema_check", "quarantine"]
"""The place where an event waits: for its fan-out, for the schema check, or for people."""


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """A filter: ids from `low` up to but excluding `high`, a status, a type or a type prefix.

    Of deliveries also the `outcome` and the response status of the last attempt, the latter between
    `code_from` and `code_to`; the endpoint, and the reference of the event.
    """

    low: int = 0
    high: int = LARGEST_ID
    status: Status | None = None
    type: str | None = None
    prefix: str | None = None
    code_from: int | None = None
    code_to: int | None = None
    outcome: str | None = None
    endpoint_id: UUID | None = None
    reference: str | None = None


class EventData(NamedTuple):
    """The size of an event's data in bytes, the data unless it is too large, and the reference."""

    size_bytes: int
    text: str | None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class IdsRead:
    """The ids that match a filter, newest first.

    `horizon` is the id down to which the history was read, or None if it was read to its end.
    """

    ids: list[int]
    horizon: int | None


class DeliveryItemRow(TypedDict):
    """A delivery, pending or ended. `recorded_at` is None until the first attempt or the end."""

    id: int
    event_id: int
    endpoint_id: UUID
    environment_id: str
    type: str
    status: Status
    attempts: int
    next_at: datetime | None
    outcome: str | None
    response_status: int | None
    response_body: bytes | None
    duration_ms: int | None
    error: str | None
    recorded_at: datetime | None


class AttemptRow(TypedDict):
    """An attempt. `response_headers` is a text of `core/recorded_headers.py`.

    `brand` and `signed_at` are those of `Sent`. None: the default brand; no request was made.
    """

    id: int
    delivery_id: int
    attempt: int
    started_at: datetime
    duration_ms: int
    outcome: str
    status: int | None
    error: str | None
    brand: str | None
    signed_at: int | None
    response_headers: str | None
    response_body: bytes | None
    next_at: datetime | None
    type: str
    lookup_ms: int | None
    connect_ms: int | None
    tls_ms: int | None
    first_byte_ms: int | None


class EventItemRow(TypedDict):
    """An event of a list. `data` is None if it is larger than asked for; `size` is in bytes."""

    id: int
    environment_id: str
    type: str
    source: str
    idempotency_key: str | None
    reference: str | None
    size: int
    data: RawJson | None


class History:
    """Reads of the history. Each returns at most the rows that its caller asks for."""

    def __init__(self, session: Queryable) -> None:
        self._session = session

    async def endpoints(
        self, environment_id: str, endpoint_id: UUID | None, limit: int
    ) -> list[UUID]:
        """Return at most `limit` endpoints of the environment, including deleted ones.

        With `endpoint_id`, return only that one, if it belongs to the environment.
        """
        rows = await self._session.fetch(
            statement("history/endpoints"), environment_id, endpoint_id, limit
        )
        return [row["id"] for row in rows]

    async def of_endpoints(
        self, endpoint_ids: Sequence[UUID], filters: HistoryFilter, rows: int, limit: int
    ) -> IdsRead:
        """Return the newest `limit` deliveries, reading `rows` rows of each endpoint and kind."""
        part, until = await self.part(filters)
        records = await self._session.fetch(
            statement("history/of_endpoints"),
            endpoint_ids,
            *_columns(part, rows),
            limit,
            until,
            *answer_columns(part),
        )
        return ids_read(records, filters, part)

    async def of_environment(
        self, environment_id: str, filters: HistoryFilter, rows: int, limit: int
    ) -> IdsRead:
        """Return deliveries as `of_endpoints` does, but read `rows` rows of all environments."""
        part, until = await self.part(filters)
        records = await self._session.fetch(
            statement("history/of_environment"),
            environment_id,
            *_columns(part, rows),
            limit,
            until,
            *answer_columns(part),
        )
        return ids_read(records, filters, part)

    async def of_event(
        self, environment_id: str, event_id: int, before: int, limit: int
    ) -> list[int]:
        """Return the ids of an event's deliveries below `before`, newest first."""
        delivery_ids: set[int] = set()
        for above, until in await self.spans(event_id):
            rows = await self._session.fetch(
                statement("history/of_event"), environment_id, event_id, before, limit, above, until
            )
            delivery_ids.update(row["id"] for row in rows)
        return sorted(delivery_ids, reverse=True)[:limit]

    async def items(
        self, environment_id: str, delivery_ids: Collection[int]
    ) -> Sequence[DeliveryItemRow]:
        """Return the current state of each delivery, newest first.

        Deliveries of other environments are left out.
        """
        items: dict[int, DeliveryItemRow] = {}
        for above, until in await self.spans(min(delivery_ids)):
            rows = await self._session.fetch(
                statement("history/items"), environment_id, list(delivery_ids), above, until
            )
            for row in all_rows(DeliveryItemRow, rows):
                known = items.get(row["id"])
                if known is None or known["recorded_at"] is None:
                    items[row["id"]] = row
            if sum(row["recorded_at"] is not None for row in items.values()) == len(delivery_ids):
                break
        return [items[id_] for id_ in sorted(items, reverse=True)]

    async def payloads(
        self, event_ids: Collection[int], data_limit: int
    ) -> Mapping[int, EventData]:
        """Return the bytes of the data by event, and the data itself up to `data_limit` bytes.

        Events that retention has dropped are left out.
        """
        rows = await self._session.fetch(statement("history/payloads"), list(event_ids), data_limit)
        return {row["id"]: EventData(row["size"], row["data"], row["reference"]) for row in rows}

    async def attempts(
        self, environment_id: str, delivery_id: int, limit: int
    ) -> Sequence[AttemptRow]:
        """Return the newest `limit` attempts, oldest first."""
        attempts: list[AttemptRow] = []
        for above, until in await self.spans(delivery_id):
            rows = await self._session.fetch(
                statement("history/attempts"), environment_id, delivery_id, above, until, limit
            )
            attempts += all_rows(AttemptRow, rows)
            if len(attempts) >= limit:  # spans go back in time
                break
        return sorted(attempts, key=lambda row: (row["attempt"], row["id"]))[-limit:]

    async def events(
        self, environment_id: str, filters: HistoryFilter, rows: int, limit: int
    ) -> IdsRead:
        """Return the newest `limit` events, reading `rows` rows of all environments."""
        if filters.low >= days_before(filters.high, time(), RECENT_DAYS):  # few partitions
            part = filters
        else:
            part, _ = await self.part(filters)
        records = await self._session.fetch(
            statement("history/events"),
            environment_id,
            part.high,
            part.low,
            rows,
            part.type,
            part.prefix,
            limit,
        )
        return ids_read(records, filters, part)

    async def event_items(
        self, environment_id: str, event_ids: Collection[int], data_limit: int
    ) -> Sequence[EventItemRow]:
        """Return each event, newest first, with `data` only up to `data_limit` bytes."""
        rows = await self._session.fetch(
            statement("history/event_items"), environment_id, list(event_ids), data_limit
        )
        return all_rows(EventItemRow, rows)

    async def waiting(self, event_id: int) -> Place | None:
        """Return the place of an event that is not fanned out yet, or None."""
        rows = await self._session.fetch(statement("history/waiting"), event_id)
        place: Place | None = rows[0]["place"]
        return place

    async def waits_for(self, delivery_id: int, endpoint_id: UUID) -> int | None:
        """Return the delivery of an ordered endpoint that must end before this one, or None."""
        rows = await self._session.fetch(statement("history/waits_for"), delivery_id, endpoint_id)
        return rows[0]["id"] if rows else None

    async def days(self) -> Sequence[int]:
        """Return the smallest id of each day that has a partition, the latest day first."""
        return [row["low"] for row in await self._session.fetch(statement("history/days"))]

    async def part(self, filters: HistoryFilter) -> tuple[HistoryFilter, int | None]:
        """Return the part to read first, and the last attempt id to read, or None for all."""
        days = await self.days()
        if len(days) <= 2 * DAYS_AT_ONCE_LIMIT:
            return filters, None
        below = [day for day in days if day < filters.high]
        later = [day for day in days if day >= filters.high]
        low = below[DAYS_AT_ONCE_LIMIT] if len(below) > DAYS_AT_ONCE_LIMIT else 0
        until = later[-DAYS_AT_ONCE_LIMIT] if len(later) >= DAYS_AT_ONCE_LIMIT else None
        return replace(filters, low=max(low, filters.low)), until

    async def spans(self, first: int) -> Sequence[tuple[int, int | None]]:
        """Return spans of attempt ids that reach down to a day below `first`.

        `first` is the smallest id of what was attempted. An attempt has a lower one if the clock
        was set back in between. Each span is an exclusive lower and an inclusive upper bound.
        """
        above = first - (DAY_MS << TIME_SHIFT)
        days = [day for day in await self.days() if day > above]
        ends = days[DAYS_AT_ONCE_LIMIT::DAYS_AT_ONCE_LIMIT]
        return list(zip([*ends, above], [None, *ends], strict=True))


def _columns(filters: HistoryFilter, rows: int) -> tuple[object, ...]:
    return (filters.high, filters.low, rows, filters.status, filters.type, filters.prefix)


def answer_columns(filters: HistoryFilter) -> tuple[object, ...]:
    """Return what a statement is given of the filter for the last attempt."""
    return (filters.code_from, filters.code_to, filters.outcome)


def ids_read(
    rows: Sequence[asyncpg.Record], filters: HistoryFilter, part: HistoryFilter
) -> IdsRead:
    """Return the result of a read of `part`.

    If the whole part was read and more is below it, the horizon is the end of the part.
    """
    horizon = rows[0]["horizon"]
    if horizon is None and part.low > filters.low:
        horizon = part.low
    return IdsRead(rows[0]["ids"], horizon)
