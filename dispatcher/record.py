"""Outcomes go into the database in batches; when they can not, nothing more is sent.

A result waits here for no longer than a batch takes to fill or FLUSH_EVERY passes. How many may
wait bounds how many POSTs a crash can make us repeat.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from dispatcher import observe
from dispatcher.loop import either
from dispatcher.model import Delivery, Result
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.session import StatementTimeout, StoreUnavailable

MOST_WAITING = 500
FULL = 250
FLUSH_EVERY = 0.04


class Recorder:
    """`settled(delivery, again)` is called for each result once it is in the table, `lost(delivery)`
    for one whose delivery had moved on, `room` whenever there is room again, `noted(results)` once
    they are all on record."""

    def __init__(
        self,
        deliveries: Deliveries,
        *,
        settled: Callable[[Delivery, Delivery | None], None],
        lost: Callable[[Delivery], None],
        room: Callable[[], None],
        noted: Callable[[Sequence[Result]], None] = observe.recorded,
    ) -> None:
        self._deliveries = deliveries
        self._settled = settled
        self._lost = lost
        self._room = room
        self._noted = noted
        self._waiting: list[Result] = []
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._flushed_at = 0.0
        self._most = MOST_WAITING

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Sending stops while this is false."""
        return len(self._waiting) < MOST_WAITING

    def put(self, result: Result) -> None:
        self._waiting.append(result)
        self._some.set()
        self._empty.clear()
        if len(self._waiting) >= FULL:
            self._full.set()

    async def flush(self) -> float:
        """Wait for results and write them; returns 0. Raises StoreUnavailable or StatementTimeout,
        with what is not known to be written still waiting: the statement may be repeated."""
        await self._some.wait()
        await either(self._full, max(0.0, self._flushed_at + FLUSH_EVERY - monotonic()))
        batch = self._waiting[: self._most]
        self._flushed_at = monotonic()
        try:
            await self._write(batch)
        except StatementTimeout:
            self._most = max(1, len(batch) // 2)
            raise
        self._most = min(MOST_WAITING, self._most * 2)
        self._full.clear()
        if not self._waiting:
            self._some.clear()
            self._empty.set()
        self._room()
        return 0.0

    async def drained(self) -> None:
        """Returns when nothing waits any more."""
        await self._empty.wait()

    async def _write(self, batch: Sequence[Result]) -> None:
        """Write the first results that wait, and let them go."""
        try:
            applied = await self._deliveries.record(batch)
        except (StoreUnavailable, StatementTimeout):
            raise
        except Exception as error:  # noqa: BLE001 - a value the database refuses must stop nothing
            await self._write_apart(batch, error)
            return
        late = [r for r in batch if r.delivery.id not in applied]
        if late:
            new = await self._deliveries.record_late(late)
            observe.superseded(len(new), len(late))
        del self._waiting[: len(batch)]
        for result in batch:
            delivery = result.delivery
            if delivery.id in applied:
                self._settled(delivery, _again(result, applied[delivery.id]))
            else:
                self._lost(delivery)
        self._noted(batch)

    async def _write_apart(self, batch: Sequence[Result], error: Exception) -> None:
        """Find the result that can not be written, and write it without what others sent us."""
        if len(batch) > 1:
            half = len(batch) // 2
            await self._write(batch[:half])
            await self._write(batch[half:])
            return
        bare = _without_what_others_sent(batch[0])
        if bare == batch[0]:  # so it is not the value: nothing can be written at present
            raise StoreUnavailable(f"results are refused: {type(error).__name__}") from error
        observe.unrecordable(bare.delivery, error)
        await self._write([bare])


def _without_what_others_sent(result: Result) -> Result:
    outcome = result.outcome
    if outcome.error is not None:
        outcome = replace(outcome, error="the answer could not be stored")
    return replace(result, outcome=outcome, response_headers=None, response_body=None)


def _again(result: Result, next_at: float | None) -> Delivery | None:
    if next_at is None:
        return None
    return replace(result.delivery, attempt=result.delivery.attempt + 1, next_at=next_at)
