"""Pending deliveries and the attempts made for them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatcher.core.model import Delivery, Result, SetBack
from dispatcher.store.session import Session
from dispatcher.store.statements import statement

SEPARATOR = "\x1e"
"""Between JSON texts: no JSON text can contain it (RFC 7464)."""

PARK_AT_ONCE = 1_000
"""Rows parked in one statement."""


@dataclass(frozen=True, slots=True)
class Range:
    """What to read of one shard: rows due from `low` on, at most `most` of them."""

    shard: int
    low: float
    most: int


class _UndoError(Exception):
    """Rolls a transaction back."""


class Deliveries:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def record(self, results: Sequence[Result]) -> dict[int, float | None]:
        """Write attempts with what they mean for their deliveries.

        Returns the next time of each delivery it applied to, None for an ended one. A delivery
        that is missing had moved on: see `record_late`.
        """
        columns = _attempt_columns(results)
        rows = await self._session.fetch(
            statement("deliveries/record"),
            *columns,
            _array(r.outcome.state for r in results),
            _array(r.outcome.delay for r in results),
        )
        return {row["id"]: row["next_at"] for row in rows}

    async def record_late(self, results: Sequence[Result]) -> set[int]:
        """Write attempts whose delivery has moved on; returns those not written before."""
        columns = _attempt_columns(results)
        rows = await self._session.fetch(
            statement("deliveries/record_late"),
            *columns,
            [r.delivery.event_id for r in results],
            [r.delivery.endpoint_id for r in results],
        )
        return {row["delivery_id"] for row in rows}

    async def probe(self) -> None:
        """Write an attempt of no delivery and undo it. Raises what refuses any attempt at all."""
        with suppress(_UndoError):
            async with self._session.transaction() as opened:
                await opened.fetch(statement("deliveries/probe"))
                raise _UndoError

    async def set_aside(self, delivery: Delivery, detail: str) -> bool:
        """Move a delivery whose result is refused to quarantine.

        Return False if it had moved on: it is not pending any more after so many attempts.
        """
        rows = await self._session.fetch(
            statement("deliveries/set_aside"), delivery.id, delivery.attempt, detail
        )
        return bool(rows)

    async def due(self, ranges: Sequence[Range], before: float) -> list[Delivery]:
        """Deliveries of each range that are due before a time, not the parked ones."""
        rows = await self._session.fetch(
            statement("deliveries/due"),
            [r.shard for r in ranges],
            [r.low for r in ranges],
            [r.most for r in ranges],
            before,
        )
        return [delivery(row) for row in rows]

    async def park(self, ids: Collection[int], shards: Collection[int]) -> None:
        """Park these, some at a time: memory full of them would be a statement of a second."""
        waiting = list(ids)
        for begin in range(0, len(waiting), PARK_AT_ONCE):
            some = waiting[begin : begin + PARK_AT_ONCE]
            await self._session.fetch(statement("deliveries/park"), some, list(shards))

    async def parked_endpoints(self) -> list[UUID]:
        rows = await self._session.fetch(statement("deliveries/parked_endpoints"))
        return [row["endpoint_id"] for row in rows]

    async def parked(
        self, most: Mapping[UUID, int], shards: Collection[int], at_most: int
    ) -> list[Delivery]:
        """Parked deliveries that are due, so many of each endpoint, the longest due first; one
        endpoint after another, as far as `at_most` in all reach."""
        rows = await self._session.fetch(
            statement("deliveries/parked"), list(most), list(most.values()), list(shards), at_most
        )
        return [delivery(row) for row in rows]

    async def parked_in_order(self, endpoint_id: UUID, shard: int, most: int) -> list[Delivery]:
        """The first deliveries of an ordered endpoint, due or not."""
        rows = await self._session.fetch(
            statement("deliveries/parked_in_order"), endpoint_id, shard, most
        )
        return [delivery(row) for row in rows]

    async def cancel(self, most: int, expire_below: int) -> int:
        """Cancel deliveries of deleted endpoints, and those with ids below a bound: too old."""
        return len(await self._session.fetch(statement("deliveries/cancel"), most, expire_below))

    async def bring_forward(
        self, step: SetBack, above: int, at_most: int
    ) -> tuple[int | None, int]:
        """Move the times of the next `at_most` rows with ids above `above`, if the step concerns them.

        Return the last id looked at, None if there are no more, and how many rows were moved.
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


def delivery(row: Any) -> Delivery:
    return Delivery(
        row["id"],
        row["event_id"],
        row["endpoint_id"],
        row["shard"],
        row["attempt"],
        row["base"],
        row["next_at"],
    )


def _attempt_columns(results: Sequence[Result]) -> list[str | list[Any]]:
    errors = [r.outcome.error for r in results]
    return [
        _array(r.delivery.id for r in results),
        _array(r.delivery.attempt + 1 for r in results),
        _array(r.started_at for r in results),
        _array(r.outcome.code for r in results),
        _array(r.status for r in results),
        _array(r.duration_ms for r in results),
        errors if any(errors) else [],
        _texts(r.request_headers for r in results),
        _texts(r.response_headers for r in results),
        [r.response_body for r in results],
    ]


def _array(values: Iterable[float | str | None]) -> str:
    """Numbers or plain names as PostgreSQL writes an array. The driver, given a list, asks of every
    element whether it is a list itself, which costs several times as much."""
    return f"{{{','.join(['NULL' if v is None else str(v) for v in values])}}}"


def _texts(values: Iterable[str | None]) -> str:
    return SEPARATOR.join(["null" if v is None else v for v in values])
