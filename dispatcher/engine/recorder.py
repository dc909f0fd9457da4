"""Outcomes go into the database in batches; when they cannot, nothing more is sent.

A result waits here for no longer than a batch takes to fill or FLUSH_EVERY passes. How many may
wait bounds how many POSTs a crash can make us repeat.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic

from dispatcher.core.model import Delivery, Result
from dispatcher.engine.loop import either
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.session import StatementTimeout, StoreUnavailable
from dispatcher.telemetry import observe

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
        self._refused: list[tuple[Result, Exception]] = []
        self._suspects: set[int] = set()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._flushed_at = 0.0
        self._most = MOST_WAITING

    def __len__(self) -> int:
        return len(self._waiting) + len(self._refused)

    @property
    def has_room(self) -> bool:
        """Sending stops while this is false."""
        return len(self) < MOST_WAITING

    def put(self, result: Result) -> None:
        self._waiting.append(result)
        self._some.set()
        self._empty.clear()
        if len(self._waiting) >= FULL:
            self._full.set()

    async def flush(self) -> float:
        """Wait for results and write them; return 0, the seconds to the next time.

        A result that the database refuses for its data, even without what others sent us, is set
        aside with its delivery, so that it holds up no other. Raises StoreUnavailable or
        StatementTimeout, with what is not known to be written still waiting: the statement may be
        repeated.
        """
        await self._some.wait()
        await either(self._full, max(0.0, self._flushed_at + FLUSH_EVERY - monotonic()))
        batch = self._waiting[: self._most]
        self._flushed_at = monotonic()
        try:
            await self._write(batch)
            await self._set_aside(len(batch))
        except StatementTimeout:
            self._most = max(1, len(batch) // 2)
            raise
        finally:  # what was not set aside is tried again, the first
            self._waiting[:0] = [result for result, _ in self._refused]
            self._refused.clear()
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
            await self._apart(batch, error, self._write)
            return
        late = [r for r in batch if r.delivery.id not in applied]
        self._waiting[: len(batch)] = late
        in_time = [r for r in batch if r.delivery.id in applied] if late else batch
        for result in in_time:
            self._settled(result.delivery, _again(result, applied[result.delivery.id]))
        self._noted(in_time)
        await self._write_late(late)

    async def _write_late(self, late: Sequence[Result]) -> None:
        """Write the first results that wait, whose deliveries have moved on, and let them go."""
        if not late:
            return
        try:
            new = await self._deliveries.record_late(late)
        except (StoreUnavailable, StatementTimeout):
            raise
        except Exception as error:  # noqa: BLE001 - as for those in time
            await self._apart(late, error, self._write_late)
            return
        observe.superseded(len(new), len(late))
        del self._waiting[: len(late)]
        for result in late:
            self._lost(result.delivery)
        self._noted(late)

    async def _apart(
        self,
        batch: Sequence[Result],
        error: Exception,
        write: Callable[[Sequence[Result]], Awaitable[None]],
    ) -> None:
        """Find the result that cannot be written, and write it without what others sent us."""
        if len(batch) > 1:
            half = len(batch) // 2
            await write(batch[:half])
            await write(batch[half:])
            return
        bare = _without_what_others_sent(batch[0])
        if bare != batch[0]:
            observe.unrecordable(bare.delivery, error)
            self._waiting[0] = bare
            await write([bare])
        elif is_data_error(error):
            self._refused.append((self._waiting.pop(0), error))
        else:  # so it is not the value: nothing can be written at present
            raise StoreUnavailable(f"results are refused: {describe(error)}") from error

    async def _set_aside(self, tried: int) -> None:
        """Move deliveries whose results were refused twice, while others can be written, to
        quarantine; `tried` results were in the batch."""
        if self._refused and len(self._refused) == tried:
            await self._probe()
        for each in list(self._refused):
            result, error = each
            if result.delivery.id in self._suspects:
                await self._set_one_aside(result.delivery, error)
                self._refused.remove(each)
        # The others once more: what refused them may have ended in the middle of the batch.
        self._suspects = {result.delivery.id for result, _ in self._refused}

    async def _probe(self) -> None:
        """Raise StoreUnavailable if no result at all can be written: then the fault is not in those
        that were refused, and they wait."""
        try:
            await self._deliveries.probe()
        except Exception as error:
            if not is_data_error(error):
                raise
            raise StoreUnavailable(f"all results are refused: {describe(error)}") from error

    async def _set_one_aside(self, delivery: Delivery, error: Exception) -> None:
        try:
            moved = await self._deliveries.set_aside(delivery, describe(error))
        except Exception as refusal:
            if not is_data_error(refusal):
                raise
            # Its row cannot even be moved. It stays in memory as unrecorded: to be read again would
            # be to be sent again, and again.
            observe.result_discarded(delivery, refusal, moved=False)
            return
        observe.result_discarded(delivery, error, moved=moved)
        if moved:
            self._settled(delivery, None)
        else:
            self._lost(delivery)


def _without_what_others_sent(result: Result) -> Result:
    outcome = result.outcome
    if outcome.error is not None:
        outcome = replace(outcome, error="the answer could not be stored")
    return replace(result, outcome=outcome, response_headers=None, response_body=None)


def _again(result: Result, next_at: float | None) -> Delivery | None:
    if next_at is None:
        return None
    return replace(result.delivery, attempt=result.delivery.attempt + 1, next_at=next_at)
