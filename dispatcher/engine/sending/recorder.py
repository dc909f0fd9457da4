"""Record results in batches; if they cannot be written, sending stops.

A result waits until a batch is full or BATCH_SECONDS have passed. The bound on waiting results also
bounds how many POSTs are repeated after a crash. A result whose row another transaction has locked
is set aside: the others are written without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from time import monotonic

from dispatcher.core.model import Delivery, Result
from dispatcher.engine.stages.loop import wait_for_event
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.errors import (
    StatementTimeoutError,
    StoreError,
    TransactionConflictError,
)
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.telemetry import observe

WAITING_LIMIT = 500
"""Results that may wait until sending stops."""
FULL_BATCH = 250
"""Results that are written without waiting for more."""
BATCH_SECONDS = 0.04
"""Time between two batches that are not full."""
AWAITED_SECONDS = 0.01
"""The same if an ordered endpoint waits for a result before its next attempt. It is not shorter, so
that results of other endpoints still come in batches."""
LOCKED_SECONDS = 1.0
"""Time between two looks at the rows that were locked. A look waits for no lock."""


class Recorder:
    """The stage that records results.

    `kept` returns the shards that no other daemon has now. `on_recorded(delivery, retry)` is called
    for each recorded result; `retry` is the delivery with its next attempt, None if the delivery
    has ended or was moved to quarantine. `on_late(delivery)` is called if the row was changed since
    the delivery was read, `on_unrecordable(delivery)` if the database refuses its result and also
    its move to quarantine. `on_room` is called after each batch, as there may be room again, and
    `on_batch(results)` after results are recorded, late ones too.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        *,
        kept: Callable[[], Collection[int]],
        on_recorded: Callable[[Delivery, Delivery | None], None],
        on_late: Callable[[Delivery], None],
        on_unrecordable: Callable[[Delivery], None],
        on_room: Callable[[], None],
        on_batch: Callable[[Sequence[Result]], None],
    ) -> None:
        self._deliveries = deliveries
        self._kept = kept
        self._on_recorded = on_recorded
        self._on_late = on_late
        self._on_unrecordable = on_unrecordable
        self._on_room = on_room
        self._on_batch = on_batch
        self._waiting: list[Result] = []
        self._locked: list[Result] = []  # set aside, as another transaction has locked their rows
        self._conflict = ""  # what the database said of the last of them
        self._looked_at = 0.0
        self._refused: list[tuple[Result, Exception]] = []
        self._refused_before: set[int] = set()
        self._has_results = asyncio.Event()
        self._has_awaited = asyncio.Event()
        self._has_full_batch = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._written_at = 0.0
        self._batch_limit = WAITING_LIMIT

    def __len__(self) -> int:
        return len(self._waiting) + len(self._refused) + len(self._locked)

    @property
    def has_room(self) -> bool:
        """Return True if fewer than WAITING_LIMIT results wait; sending stops while it is False.

        Results that are set aside count too.
        """
        return len(self) < WAITING_LIMIT

    def put(self, result: Result, *, is_awaited: bool = False) -> None:
        """Add a result to the next batch, which comes sooner if an ordered endpoint awaits it."""
        if not self._waiting:
            self._has_results.set()
            self._is_empty.clear()
        self._waiting.append(result)
        if is_awaited:
            self._has_awaited.set()
        if len(self._waiting) >= FULL_BATCH:
            self._has_awaited.set()
            self._has_full_batch.set()

    async def run_once(self) -> float:
        """Wait for results and write them; return 0.0, the seconds to the next pass.

        A result whose row is locked is set aside, and written when the row is free. If the database
        refuses the data of a result, even without the receiver's answer, its delivery goes to
        quarantine. Otherwise it would block all other results. Raise StoreError, also if locked
        rows leave no room, or StatementTimeoutError; results that may be unwritten stay and are
        written again, which is harmless.
        """
        await self._wait_for_results()
        if not self._waiting:  # all rows that were set aside are still locked
            self._has_results.clear()
            if not self.has_room:
                raise TransactionConflictError(self._conflict)
            return 0.0
        await wait_for_event(self._has_awaited, self._seconds_until(BATCH_SECONDS))
        await wait_for_event(self._has_full_batch, self._seconds_until(AWAITED_SECONDS))
        self._has_awaited.clear()  # those of this batch: more may come while it is written
        batch = self._waiting[: self._batch_limit]
        self._written_at = monotonic()
        set_aside = len(self._locked)
        try:
            await self._write(batch)
            await self._quarantine_refused(len(batch) + set_aside - len(self._locked))
        except StatementTimeoutError:
            self._batch_limit = max(1, len(batch) // 2)
            raise
        finally:
            # Refused results that are not in quarantine come first in the next batch.
            self._replace_first(0, [result for result, _ in self._refused])
            self._refused.clear()
        self._batch_limit = min(WAITING_LIMIT, self._batch_limit * 2)
        self._has_full_batch.clear()
        if not self._waiting:
            self._has_results.clear()
            if not self._locked:
                self._is_empty.set()
        self._on_room()
        return 0.0

    async def drain(self) -> None:
        """Wait until all results are written."""
        await self._is_empty.wait()

    async def _wait_for_results(self) -> None:
        """Wait for results, also those that were set aside and whose rows are free again."""
        if not self._locked:
            await self._has_results.wait()
            return
        look_in = self._looked_at + LOCKED_SECONDS - monotonic()
        if look_in > 0:
            await wait_for_event(self._has_results, look_in)
        if monotonic() < self._looked_at + LOCKED_SECONDS:
            return
        locked = await self._deliveries.locked([r.delivery.id for r in self._locked])
        self._looked_at = monotonic()
        free = [r for r in self._locked if r.delivery.id not in locked]
        self._locked = [r for r in self._locked if r.delivery.id in locked]
        for result in free:
            self.put(result)

    def _seconds_until(self, seconds: float) -> float:
        """Return how many of the `seconds` after the last batch are left, at least 0.0."""
        return max(0.0, self._written_at + seconds - monotonic())

    async def _write(self, batch: Sequence[Result]) -> None:
        """Write `batch`, the first of the waiting results; late ones stay until `_write_late`."""
        try:
            next_times = await self._record(batch)
        except TransactionConflictError as error:
            await self._write_unlocked(batch, error, self._write)
            return
        except (StoreError, StatementTimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - one refused value must not stop the recorder
            await self._write_in_parts(batch, error, self._write)
            return
        recorded, late = batch, []
        if len(next_times) < len(batch):
            recorded = [r for r in batch if r.delivery.id in next_times]
            late = [r for r in batch if r.delivery.id not in next_times]
        self._replace_first(len(batch), late)
        for result in recorded:
            delivery = result.delivery
            self._on_recorded(delivery, _retry(delivery, next_times[delivery.id]))
        self._on_batch(recorded)
        await self._write_late(late)

    async def _record(self, batch: Sequence[Result]) -> Mapping[int, float | None]:
        """Record results, see Deliveries.record.

        If this daemon has lost a shard of them since it began to send, send change notices: other
        daemons may hold these deliveries now.
        """
        kept = self._kept()
        if all(result.delivery.shard in kept for result in batch):
            return await self._deliveries.record(batch)
        return await self._deliveries.record_for_others(batch)

    async def _write_late(self, late: Sequence[Result]) -> None:
        """Write the attempts of `late`, the first of the waiting results.

        Their rows were changed since they were read: the attempts are recorded, and a 2xx answer
        ends its delivery.
        """
        if not late:
            return
        try:
            new = await self._deliveries.record_late(late)
        except TransactionConflictError as error:
            await self._write_unlocked(late, error, self._write_late)
            return
        except (StoreError, StatementTimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - one refused value must not stop the recorder
            await self._write_in_parts(late, error, self._write_late)
            return
        observe.deliveries.late(len(new), len(late))
        self._replace_first(len(late), [])
        for result in late:
            self._on_late(result.delivery)
        self._on_batch(late)

    async def _write_unlocked(
        self,
        batch: Sequence[Result],
        error: TransactionConflictError,
        write: Callable[[Sequence[Result]], Awaitable[None]],
    ) -> None:
        """Set aside the results whose rows are locked, all at once, and write the others.

        Splitting the batch to find them would wait for each lock several times, a second each.
        Raise `error` if no row is locked: then the lock was another one, or it was released.
        """
        locked = await self._deliveries.locked([r.delivery.id for r in batch])
        if not locked:
            raise error
        free = [r for r in batch if r.delivery.id not in locked]
        self._set_aside([r for r in batch if r.delivery.id in locked], error)
        self._replace_first(len(batch), free)
        if free:
            await write(free)

    def _set_aside(self, results: Sequence[Result], error: TransactionConflictError) -> None:
        self._locked += results
        self._conflict = str(error)
        self._looked_at = monotonic()
        observe.stages.database_failed("record", error, LOCKED_SECONDS)

    async def _write_in_parts(
        self,
        batch: Sequence[Result],
        error: Exception,
        write: Callable[[Sequence[Result]], Awaitable[None]],
    ) -> None:
        """Split the batch until one refused result is left; write it without the answer's text.

        `bisect` does not serve here: it gives up an item at its first refusal. Raise StoreError if
        the result is refused for another reason than its data.
        """
        if len(batch) > 1:
            half = len(batch) // 2
            await write(batch[:half])
            await write(batch[half:])
            return
        bare = _without_answer(batch[0])
        if bare != batch[0]:
            observe.deliveries.response_discarded(bare.delivery, error)
            self._replace_first(1, [bare])
            await write([bare])
        elif is_data_error(error):
            self._refused.append((bare, error))
            self._replace_first(1, [])
        else:  # the data is not the reason, so nothing can be written at present
            raise StoreError(f"results are refused: {describe(error)}") from error

    def _replace_first(self, count: int, results: Sequence[Result]) -> None:
        """Put `results` in place of the first `count` that wait.

        No other method removes results. So what was not written when a pass fails still waits.
        """
        self._waiting[:count] = results

    async def _quarantine_refused(self, tried: int) -> None:
        """Quarantine deliveries whose results were refused twice while others can be written.

        `tried` is the number of results that were refused or written. One that was set aside says
        nothing about the table.
        """
        if self._refused and len(self._refused) == tried:
            await self._check_table()
        for refusal in list(self._refused):
            result, error = refusal
            if result.delivery.id in self._refused_before:
                try:
                    await self._quarantine(result.delivery, error)
                except TransactionConflictError as conflict:
                    self._set_aside([result], conflict)
                self._refused.remove(refusal)
        # The others are tried once more, as the fault may have ended during the batch.
        self._refused_before = {result.delivery.id for result, _ in self._refused}

    async def _check_table(self) -> None:
        """Raise StoreError if no attempt at all can be written.

        Then the refused results are not the cause, and they wait.
        """
        try:
            await self._deliveries.probe()
        except Exception as error:
            if not is_data_error(error):
                raise
            raise StoreError(f"all results are refused: {describe(error)}") from error

    async def _quarantine(self, delivery: Delivery, error: Exception) -> None:
        try:
            was_moved = await self._deliveries.quarantine(delivery, describe(error))
        except Exception as refusal:
            if not is_data_error(refusal):
                raise
            # The row cannot even be moved. The delivery stays in memory as unrecorded. Otherwise it
            # would be read and sent again and again.
            observe.deliveries.result_discarded(delivery, refusal, moved=False)
            self._on_unrecordable(delivery)
            return
        observe.deliveries.result_discarded(delivery, error, moved=was_moved)
        if was_moved:
            self._on_recorded(delivery, None)
        else:
            self._on_late(delivery)


def _without_answer(result: Result) -> Result:
    """Return the result without what the receiver sent, which may be what is refused."""
    outcome = result.outcome
    if outcome.error is not None:
        outcome = replace(outcome, error="the answer could not be stored")
    return replace(result, outcome=outcome, response_headers=None, response_body=None)


def _retry(delivery: Delivery, next_at: float | None) -> Delivery | None:
    """Return the delivery with its next attempt, None if it has ended."""
    if next_at is None:
        return None
    return replace(delivery, attempt=delivery.attempt + 1, next_at=next_at)
