"""Record results in batches; if they cannot be written, sending stops.

A result waits until a batch is full or FLUSH_EVERY seconds have passed. The bound on waiting
results also bounds how many POSTs are repeated after a crash.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic

from dispatcher.core.model import Delivery, Result
from dispatcher.engine.loop import wait_for_event
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.session import StatementTimeout, StoreUnavailable
from dispatcher.telemetry import observe

MOST_WAITING = 500
"""Results that may wait until sending stops."""
FULL = 250
"""Results that are written without waiting for more."""
FLUSH_EVERY = 0.04
"""Seconds between two batches that are not full."""


class Recorder:
    """The stage that records results.

    `settled(delivery, again)` is called for each recorded result; `again` is the delivery with its
    next attempt, None if it has ended. `lost(delivery)` is called if the row was changed since the
    delivery was read. `room` is called whenever there is room again, `noted(results)` after a
    batch is recorded.
    """

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
        """Return True if fewer than MOST_WAITING results wait; sending stops while it is False."""
        return len(self) < MOST_WAITING

    def put(self, result: Result) -> None:
        """Add a result to the next batch."""
        self._waiting.append(result)
        self._some.set()
        self._empty.clear()
        if len(self._waiting) >= FULL:
            self._full.set()

    async def run_once(self) -> float:
        """Wait for results and write them; return 0.0, the seconds to the next pass.

        If the database refuses the data of a result, even without the receiver's answer, its
        delivery goes to quarantine. Otherwise it would block all other results. Raises
        StoreUnavailable or StatementTimeout; results that may be unwritten stay and are written
        again, which is harmless.
        """
        await self._some.wait()
        await wait_for_event(self._full, max(0.0, self._flushed_at + FLUSH_EVERY - monotonic()))
        batch = self._waiting[: self._most]
        self._flushed_at = monotonic()
        try:
            await self._write(batch)
            await self._set_aside(len(batch))
        except StatementTimeout:
            self._most = max(1, len(batch) // 2)
            raise
        finally:  # refused results that were not quarantined come first in the next batch
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
        """Wait until all results are written."""
        await self._empty.wait()

    async def _write(self, batch: Sequence[Result]) -> None:
        """Write `batch`, the first of the waiting results, and remove them."""
        try:
            applied = await self._deliveries.record(batch)
        except (StoreUnavailable, StatementTimeout):
            raise
        except Exception as error:  # noqa: BLE001 - one refused value must not stop the recorder
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
        """Write the attempts of `late`, the first of the waiting results, and remove them.

        Their rows were changed since they were read: the attempts are recorded, and a 2xx answer
        ends its delivery.
        """
        if not late:
            return
        try:
            new = await self._deliveries.record_late(late)
        except (StoreUnavailable, StatementTimeout):
            raise
        except Exception as error:  # noqa: BLE001 - one refused value must not stop the recorder
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
        """Split the batch until one refused result is left; write it without the answer's text.

        Raises StoreUnavailable if it is refused for another reason than its data.
        """
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
        else:  # the data is not the reason, so nothing can be written at present
            raise StoreUnavailable(f"results are refused: {describe(error)}") from error

    async def _set_aside(self, tried: int) -> None:
        """Quarantine deliveries whose results were refused twice while others can be written.

        `tried` is the number of results in the batch.
        """
        if self._refused and len(self._refused) == tried:
            await self._probe()
        for each in list(self._refused):
            result, error = each
            if result.delivery.id in self._suspects:
                await self._set_one_aside(result.delivery, error)
                self._refused.remove(each)
        # The others are tried once more, as the fault may have ended during the batch.
        self._suspects = {result.delivery.id for result, _ in self._refused}

    async def _probe(self) -> None:
        """Raise StoreUnavailable if no attempt at all can be written.

        Then the refused results are not the cause, and they wait.
        """
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
            # The row cannot even be moved. The delivery stays in memory as unrecorded. Otherwise it
            # would be read and sent again and again.
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
