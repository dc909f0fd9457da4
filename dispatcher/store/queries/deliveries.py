"""Read and write pending deliveries and their attempts."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatcher.core.model import ClockSetBack, Delivery, DeliveryRow, Result
from dispatcher.core.request_headers import DEFAULT_BRAND
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.settings import Settings
from dispatcher.store.rows import uncopied_rows
from dispatcher.store.session import Queryable, Session
from dispatcher.store.statements import statement

SEPARATOR = "\x1e"
"""Separates JSON texts in one parameter. No JSON text can contain it (RFC 7464)."""

PARK_LIMIT = 1_000
"""Most rows that one statement parks."""

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Range:
    """What to read of one shard: at most `limit` rows, due from `low` on (epoch seconds)."""

    shard: int
    low: float
    limit: int


class _UndoError(Exception):
    """An exception that only makes a transaction roll back."""


class Deliveries:
    """The pending deliveries and their attempts."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def record(
        self, results: Sequence[Result], *, within: Queryable | None = None
    ) -> dict[int, float | None]:
        """Write attempts, and update or end their deliveries. `within` is an open transaction.

        Return the time of the next attempt of each delivery, in epoch seconds, or None if it ended.
        A delivery is missing from the returned dict if it has changed since it was read, or if this
        result was recorded before: see `record_late`.
        """
        rows = await (within or self._session).fetch(
            statement("deliveries/record"),
            *_attempt_columns(results),
            _array_with_null([r.outcome.state for r in results]),
            _array_with_null([r.outcome.delay for r in results]),
        )
        return {row["id"]: row["next_at"] for row in rows}

    async def record_for_others(self, results: Sequence[Result]) -> dict[int, float | None]:
        """Do the same as `record`, and send change notices to the daemons of the deliveries.

        Another daemon may own the shards by now, and hold the deliveries as they were before.
        """
        async with self._session.transaction() as opened:
            recorded = await self.record(results, within=opened)
            notified = [r.delivery for r in results if r.delivery.id in recorded]
            await ChangeNotices(opened).add(notified)
        return recorded

    async def record_late(self, results: Sequence[Result]) -> set[int]:
        """Write attempts at deliveries that have changed since they were read.

        A 2xx ends its delivery. Return the ids of the deliveries whose attempt was not recorded
        before.
        """
        columns = _attempt_columns(results)
        async with self._session.transaction() as opened:
            await Settings(opened).force_custom_plans()
            rows = await opened.fetch(
                statement("deliveries/record_late"),
                *columns,
                [r.delivery.event_id for r in results],
                [r.delivery.endpoint_id for r in results],
                min(r.delivery.id for r in results),
            )
        return {row["delivery_id"] for row in rows}

    async def locked(self, ids: Collection[int]) -> set[int]:
        """Return those of these deliveries that another transaction has locked, without waiting."""
        rows = await self._session.fetch(statement("deliveries/locked"), list(ids))
        return {row["id"] for row in rows}

    async def probe(self) -> None:
        """Write an attempt without a delivery, then roll back.

        Raise the error that would refuse every attempt.
        """
        with suppress(_UndoError):
            async with self._session.transaction() as opened:
                await opened.fetch(statement("deliveries/probe"))
                raise _UndoError

    async def quarantine(self, delivery: Delivery, detail: str) -> bool:
        """Move a delivery to quarantine because the database refuses its result.

        Return False if the delivery has changed since: it is no longer pending with this attempt
        number.
        """
        rows = await self._session.fetch(
            statement("deliveries/quarantine"), delivery.id, delivery.attempt, detail
        )
        return bool(rows)

    async def due(self, ranges: Sequence[Range], before: float) -> list[Delivery]:
        """Return the deliveries of each range that are due before `before`, except parked ones."""
        rows = await self._session.fetch(
            statement("deliveries/due"),
            [r.shard for r in ranges],
            [r.low for r in ranges],
            [r.limit for r in ranges],
            before,
        )
        return [Delivery.from_row(row) for row in uncopied_rows(DeliveryRow, rows)]

    async def park(self, deliveries: Sequence[Delivery], shards: Collection[int]) -> None:
        """Park these deliveries, PARK_LIMIT in one statement.

        Otherwise parking everything in memory would be one statement that takes a second. If the
        table has a later time because the clock was set back, the statement corrects it.
        """
        for begin in range(0, len(deliveries), PARK_LIMIT):
            batch = deliveries[begin : begin + PARK_LIMIT]
            await self._session.fetch(
                statement("deliveries/park"),
                [delivery.id for delivery in batch],
                list(shards),
                [delivery.attempt for delivery in batch],
                [delivery.next_at for delivery in batch],
            )

    async def parked_endpoints(self, first: UUID = FIRST_ID, last: UUID = LAST_ID) -> list[UUID]:
        """Return the endpoints from `first` to `last`, both included, with parked deliveries."""
        rows = await self._session.fetch(statement("deliveries/parked_endpoints"), first, last)
        return [row["endpoint_id"] for row in rows]

    async def parked(
        self, limits: Mapping[UUID, int], shards: Collection[int], at_most: int
    ) -> list[Delivery]:
        """Return due parked deliveries: of each endpoint, those that have been due longest.

        `limits` has the limit of each endpoint. Endpoints are read one after another, until there
        are `at_most` deliveries in all.
        """
        rows = await self._session.fetch(
            statement("deliveries/parked"),
            list(limits),
            list(limits.values()),
            list(shards),
            at_most,
        )
        return [Delivery.from_row(row) for row in uncopied_rows(DeliveryRow, rows)]

    async def parked_in_order(self, endpoint_id: UUID, shard: int, limit: int) -> list[Delivery]:
        """Return the first deliveries of an ordered endpoint, due or not."""
        rows = await self._session.fetch(
            statement("deliveries/parked_in_order"), endpoint_id, shard, limit
        )
        return [Delivery.from_row(row) for row in uncopied_rows(DeliveryRow, rows)]

    async def cancel_expired_and_deleted(self, limit: int, expire_below: int) -> int:
        """Cancel deliveries that are too old, or of deleted endpoints, up to `limit` of each kind.

        A delivery is too old if its id is below `expire_below`. Return how many were cancelled.
        """
        return len(
            await self._session.fetch(
                statement("deliveries/cancel_expired_and_deleted"), limit, expire_below
            )
        )

    async def bring_forward(
        self, step: ClockSetBack, above: int, at_most: int
    ) -> tuple[int | None, int]:
        """Move the times of the next `at_most` rows with ids above `above`, where the step applies.

        Return the last id that was read, or None if there are no more, and how many rows were
        moved.
        """
        rows = await self._session.fetch(
            statement("deliveries/bring_forward"),
            above,
            at_most,
            list(step.shards),
            step.seconds,
            step.horizon,
        )
        return rows[0]["last"], rows[0]["moved"]


def _attempt_columns(results: Sequence[Result]) -> list[str | list[Any]]:
    errors = [r.outcome.error for r in results]
    return [
        _array([str(r.delivery.id) for r in results]),
        _array([str(r.delivery.attempt + 1) for r in results]),
        _array([str(int(r.started_at * 1e6)) for r in results]),
        _array([r.outcome.code for r in results]),
        _array_with_null([r.status for r in results]),
        _array([str(r.duration_ms) for r in results]),
        errors if any(errors) else [],
        _brands(results),
        _array(["NULL" if r.sent is None else str(r.sent.signed_at) for r in results]),
        SEPARATOR.join([r.response_headers or "null" for r in results]),
        [r.response_body for r in results],
        _milliseconds([r.timings.lookup for r in results]),
        _milliseconds([r.timings.connect for r in results]),
        _milliseconds([r.timings.tls for r in results]),
        _milliseconds([r.timings.first_byte for r in results]),
    ]


def _brands(results: Sequence[Result]) -> list[str | None]:
    """Return the brands of the requests, None for the default.

    The list is empty if all have that.
    """
    brands = [r.sent.brand if r.sent else DEFAULT_BRAND for r in results]
    if brands.count(DEFAULT_BRAND) == len(brands):
        return []
    return [None if brand == DEFAULT_BRAND else brand for brand in brands]


def _milliseconds(times: Sequence[float | None]) -> str:
    """Return seconds as an array of milliseconds, an empty one if there are none."""
    if times.count(None) == len(times):
        return "{}"
    return _array(["NULL" if t is None else str(round(t * 1000)) for t in times])


def _array_with_null(values: Sequence[float | str | None]) -> str:
    """Return the array of values that may be None, an empty one if all are."""
    if values.count(None) == len(values):
        return "{}"
    return _array(["NULL" if v is None else str(v) for v in values])


def _array(values: Sequence[str]) -> str:
    """Return numbers or plain names in PostgreSQL's notation for an array.

    If the driver gets a list, it tests whether each element is a list itself. That costs several
    times as much.
    """
    return f"{{{','.join(values)}}}"
