"""Search for deliveries by a filter: choose which index to read, and read in steps.

A search reads ids only, newest first. Where few deliveries match, it stops after some thousand rows
and returns how far it read.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple, TypedDict
from uuid import UUID

from dispatcher.core.ids import LARGEST_ID
from dispatcher.core.outcome import is_success
from dispatcher.core.pagination import Page
from dispatcher.store.queries.history import (
    DeliveryItemRow,
    History,
    HistoryFilter,
    IdsRead,
    answer_columns,
    ids_read,
)
from dispatcher.store.rows import all_rows
from dispatcher.store.session import Queryable
from dispatcher.store.statements import statement

PAGE_LIMIT_ROWS: Final = 4000
"""Approximate number of rows that are read for one page. If few match, the page stays short."""
LOOKUPS_LIMIT: Final = 1000
"""The same where the last attempt of each pending delivery is looked up."""
MERGED_ENDPOINTS_LIMIT: Final = 50
"""Most endpoints whose histories are merged. With more, all deliveries are read through."""
EVENTS_WITH_REFERENCE_LIMIT: Final = 1_000
"""Most events with one reference whose deliveries are searched for one page."""
STATEMENT_LIMIT_EVENTS: Final = 100
"""Events whose deliveries one statement reads."""
DELIVERIES_WITH_REFERENCE_LIMIT: Final = 500
"""Deliveries of such events that are read for one page."""

ReadIds = Callable[[HistoryFilter, int, int], Awaitable[IdsRead]]
"""A function that reads a history: filter, rows to read, ids to return."""


class CauseRow(TypedDict):
    """Failed deliveries with one cause. `error` is that of the newest."""

    endpoint_id: UUID
    outcome: str
    status: int | None
    deliveries: int
    first_id: int
    last_id: int
    error: str | None
    looked_to: int | None


class CausesRead(NamedTuple):
    """Causes, and the id down to which failures were read, None if there are no others."""

    causes: Sequence[CauseRow]
    looked_to: int | None


class DeliverySearch:
    """Searches for deliveries of one environment."""

    def __init__(self, session: Queryable) -> None:
        self._session = session
        self._history = History(session)

    async def page(
        self, environment_id: str, filters: HistoryFilter, limit: int
    ) -> Page[int, int] | None:
        """Return a page of the ids of deliveries that match, newest first.

        Return None if the filter names an endpoint that the environment does not have.
        """
        if filters.reference is not None:
            endpoint_id = filters.endpoint_id
            if endpoint_id and not await self._history.endpoints(environment_id, endpoint_id, 1):
                return None
            return await self._of_reference(environment_id, filters, limit)
        endpoints = await self._history.endpoints(
            environment_id, filters.endpoint_id, MERGED_ENDPOINTS_LIMIT + 1
        )
        if filters.endpoint_id is not None and not endpoints:
            return None
        row_limit = LOOKUPS_LIMIT if _looks_up(filters) else PAGE_LIMIT_ROWS
        if filters.endpoint_id is not None or len(endpoints) <= MERGED_ENDPOINTS_LIMIT:
            everything = partial(self._history.of_endpoints, endpoints)
            steps = (limit + 1, max(limit + 1, row_limit // (len(endpoints) or 1)))
        else:
            everything = partial(self._history.of_environment, environment_id)
            steps = (limit + 1, row_limit)
        failed = partial(self.failed, environment_id)
        if filters.status == "FAILED":
            return await read_page(failed, filters, (limit + 1, row_limit), limit)
        if filters.status is None and _is_unsuccessful(filters):
            pending = partial(_only_pending, everything)
            return await read_page(partial(_read_merged, failed, pending), filters, steps, limit)
        return await read_page(everything, filters, steps, limit)

    async def failed(
        self, environment_id: str, filters: HistoryFilter, rows: int, limit: int
    ) -> IdsRead:
        """Return the newest `limit` failed deliveries, reading `rows` failures."""
        part, until = await self._history.part(filters)
        records = await self._session.fetch(
            statement("delivery_search/failed"),
            environment_id,
            part.endpoint_id,
            part.high,
            part.low,
            rows,
            part.type,
            part.prefix,
            limit,
            until,
            *answer_columns(part),
        )
        return ids_read(records, filters, part)

    async def causes(self, environment_id: str, filters: HistoryFilter, rows: int) -> CausesRead:
        """Return the newest failed deliveries by cause: at most 100 causes of `rows` failures."""
        part, until = await self._history.part(filters)
        records = await self._session.fetch(
            statement("delivery_search/causes"),
            environment_id,
            part.endpoint_id,
            part.high,
            part.low,
            rows,
            part.type,
            part.prefix,
            until,
        )
        looked_to = records[0]["looked_to"]
        if looked_to is None and part.low > filters.low:
            looked_to = part.low
        causes = [row for row in records if row["endpoint_id"] is not None]
        return CausesRead(all_rows(CauseRow, causes), looked_to)

    async def events_with_reference(
        self,
        environment_id: str,
        reference: str,
        limit: int,
        *,
        low: int = 0,
        high: int = LARGEST_ID,
    ) -> Sequence[int]:
        """Return the ids of the newest events with a reference, from `low` up to below `high`."""
        event_ids: list[int] = []
        left = HistoryFilter(low=low, high=high)
        while True:
            part, _ = await self._history.part(left)
            rows = await self._session.fetch(
                statement("delivery_search/events_with_reference"),
                environment_id,
                reference,
                part.high,
                part.low,
                limit - len(event_ids),
            )
            event_ids += [row["id"] for row in rows]
            if len(event_ids) >= limit or part.low <= low:
                return event_ids
            left = replace(left, high=part.low)

    async def events_with_text(
        self,
        environment_id: str,
        texts: Sequence[str],
        filters: HistoryFilter,
        *,
        rows: int,
        size_bytes: int,
        limit: int,
    ) -> IdsRead:
        """Return the newest events whose data contains one of the texts, which are one or two.

        Read up to `rows` events, and search up to `size_bytes` of their data as it is stored.
        """
        part, _ = await self._history.part(filters)
        records = await self._session.fetch(
            statement("delivery_search/events_with_text"),
            environment_id,
            texts,
            part.high,
            part.low,
            rows,
            size_bytes,
            limit,
        )
        return ids_read(records, filters, part)

    async def of_events(
        self, environment_id: str, event_ids: Sequence[int], filters: HistoryFilter, limit: int
    ) -> list[int]:
        """Return the ids of the deliveries of some events, newest first."""
        delivery_ids: set[int] = set()
        for start in range(0, len(event_ids), STATEMENT_LIMIT_EVENTS):
            batch = event_ids[start : start + STATEMENT_LIMIT_EVENTS]
            for above, until in await self._history.spans(min(batch)):
                rows = await self._session.fetch(
                    statement("delivery_search/of_events"),
                    environment_id,
                    batch,
                    filters.high,
                    filters.low,
                    limit,
                    above,
                    until,
                )
                delivery_ids.update(row["id"] for row in rows)
        return sorted(delivery_ids, reverse=True)[:limit]

    async def _of_reference(
        self, environment_id: str, filters: HistoryFilter, limit: int
    ) -> Page[int, int]:
        """Return a page of the deliveries of the events with the reference.

        An event is older than its deliveries, so a page begins with the newest events below its
        position, at most EVENTS_WITH_REFERENCE_LIMIT. If there are that many, the page reaches down
        to the id of the oldest of them, and the next page goes on there. So a delivery can be left
        out if its event is older than all of these events, but the delivery is not.
        """
        event_ids = await self.events_with_reference(
            environment_id, filters.reference or "", EVENTS_WITH_REFERENCE_LIMIT, high=filters.high
        )
        if not event_ids:
            return Page((), next=None)
        horizon = event_ids[-1] if len(event_ids) == EVENTS_WITH_REFERENCE_LIMIT else 0
        part = replace(filters, low=max(filters.low, horizon))
        row_limit = DELIVERIES_WITH_REFERENCE_LIMIT
        delivery_ids = await self.of_events(environment_id, event_ids, part, row_limit)
        rows = await self._history.items(environment_id, delivery_ids) if delivery_ids else ()
        matching = [row["id"] for row in rows if matches(filters, row)]
        page = Page.of_ids(matching, limit)
        if page.next is not None:
            return page
        if len(delivery_ids) == row_limit:
            return Page(page.items, next=delivery_ids[-1])
        return Page(page.items, next=horizon if horizon > filters.low else None)


def is_of_type(filters: HistoryFilter, type_: str) -> bool:
    """Return True if an event of this type matches the filter."""
    if filters.prefix is not None and type_.startswith(filters.prefix):
        return True
    return filters.type in (None, type_)


def matches(filters: HistoryFilter, row: DeliveryItemRow) -> bool:
    """Return True if a delivery matches the filter in its current state, apart from its id."""
    code = row["response_status"]
    with_code = filters.code_from is None or (
        code is not None and filters.code_from <= code <= (filters.code_to or code)
    )
    return (
        is_of_type(filters, row["type"])
        and with_code
        and filters.status in (None, row["status"])
        and filters.outcome in (None, row["outcome"])
        and filters.endpoint_id in (None, row["endpoint_id"])
    )


async def read_page(
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
            return Page.of_ids(matching, limit)
        filters = replace(filters, high=batch.horizon)
    return Page(tuple(matching), next=filters.high)


async def _only_pending(read: ReadIds, filters: HistoryFilter, rows: int, limit: int) -> IdsRead:
    return await read(replace(filters, status="PENDING"), rows, limit)


async def _read_merged(
    first: ReadIds, second: ReadIds, filters: HistoryFilter, rows: int, limit: int
) -> IdsRead:
    """Return the ids of two reads, down to where both have read."""
    one, other = await first(filters, rows, limit), await second(filters, rows, limit)
    horizon = max((h for h in (one.horizon, other.horizon) if h is not None), default=None)
    merged = sorted({*one.ids, *other.ids}, reverse=True)
    return IdsRead([id_ for id_ in merged if id_ >= (horizon or 0)][:limit], horizon)


def _looks_up(filters: HistoryFilter) -> bool:
    return filters.code_from is not None or filters.outcome is not None


def _is_unsuccessful(filters: HistoryFilter) -> bool:
    """Return True if no delivered or cancelled delivery can match the filter."""
    if filters.outcome is not None:
        return filters.outcome != "ok"
    return filters.code_from is not None and not is_success(filters.code_from)
