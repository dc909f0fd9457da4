"""Fan out inbox rows: make deliveries in an owned shard, and have them taken into memory."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from itertools import count
from time import monotonic
from typing import Protocol
from uuid import UUID

from dispatcher.core import ids
from dispatcher.core.model import Delivery
from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.clock import Clock
from dispatcher.engine.fanout.events_limit import EventsLimits
from dispatcher.engine.fanout.fairness import Slice
from dispatcher.engine.fanout.inbox_polling import IDLE_SECONDS, POLLING_WINDOW_MS, PollingWindow
from dispatcher.engine.fanout.inbox_slices import InboxSlices
from dispatcher.engine.ownership.lease import Lease
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.errors import StatementTimeoutError, StoreError
from dispatcher.store.queries.inbox import DELIVERIES_LIMIT, Batch, FannedOut, Inbox, SmallEvent
from dispatcher.telemetry import observe

SMALL_BYTES = 1_024
"""Largest data of an event that comes with its deliveries: half a MiB at most in one answer."""
SMALL_DAYS = 2
"""Days whose small events come with deliveries, today included. Each locks one more partition."""
OVERSIZED_LIMIT = 5_000
"""Deliveries per statement for an event that makes more than DELIVERIES_LIMIT alone."""
EVENTS_LIMIT = 500
"""Most events that one statement takes."""
PASS_SECONDS = 0.1
"""Longest pass. Otherwise the polling window would end during a long backlog."""
UNUSUAL_SECONDS = 1.0
"""Seconds until the statement for the usual case is tried again: what is unusual may stay so."""
REFUSED_LIMIT = 20
"""Events quarantined in a row until the loop waits between them. Otherwise a fault elsewhere would
quarantine the whole inbox before an operator can react."""

NOTHING = FannedOut(0, None, 0, [], set())


class Admit(Protocol):
    """The function that takes new deliveries into memory, see Admission.admit_new."""

    async def __call__(
        self,
        deliveries: Sequence[Delivery],
        *,
        parked: Collection[UUID],
        stale: Collection[int | UUID],
    ) -> bool: ...


class Fanout:
    """The stage that fans out events.

    `reading()` collects what becomes stale during a statement, see DeliveryBuffer.reading.
    `admit(deliveries, parked, stale)` takes the deliveries that were made, and returns True if some
    were parked in shards of other daemons, which are notified then. `saturated(coming)` returns the
    endpoints whose deliveries are made parked, as their queues have no room for `coming` more.
    `keep_events` takes the small events of these deliveries, before they are admitted.
    `backlog` returns True if enough deliveries wait to be sent. `on_polling` is called after each
    pass while the inbox is polled: then no notification tells of events for the schema check.
    """

    def __init__(  # noqa: PLR0913 - a stage is given the functions of its neighbours
        self,
        inbox: Inbox,
        lease: Lease,
        clock: Clock,
        *,
        reading: Callable[[], AbstractContextManager[set[int | UUID]]],
        admit: Admit,
        saturated: Callable[[int], Sequence[UUID]],
        keep_events: Callable[[Sequence[SmallEvent]], None],
        backlog: Callable[[], bool],
        on_polling: Callable[[], None] = lambda: None,
    ) -> None:
        self._inbox = inbox
        self._lease = lease
        self._clock = clock
        self._reading = reading
        self._admit = admit
        self._saturated = saturated
        self._keep_events = keep_events
        self._backlog = backlog
        self._on_polling = on_polling
        self._polling = PollingWindow()
        self._shard_turn = count()
        self._size = BatchSize()
        self._limits = EventsLimits(EVENTS_LIMIT)
        self._slices = InboxSlices()
        self._refused_in_a_row = 0
        self._must_announce_parked = False
        self._usual_from = float("-inf")

    def read_after(self) -> int | None:
        """Return the id above which the inbox is read, None while the mark is not known."""
        return self._slices.read_after if self._slices.knows_mark else None

    async def run_once(self) -> float:
        """Fan out events for one pass, and return the seconds to the next.

        Raise StoreError or StatementTimeoutError; earlier statements of the pass stay committed.
        """
        if not self._slices.knows_mark:
            # Otherwise the first statement would pass the rows of all events that were ever taken.
            await self._move_mark()
        picked, is_empty = await self._empty_inbox()
        if self._must_announce_parked:  # once a pass, as commits that notify wait for one another
            await self._inbox.announce_parked()
            self._must_announce_parked = False
        await self._move_mark()  # last, as events wait for nothing else
        plan = self._polling.plan(monotonic(), picked, backlog=self._backlog())
        if plan.must_renew:
            await self._inbox.promise_polling(POLLING_WINDOW_MS)
        wait = plan.wait if is_empty else 0.0
        if wait < IDLE_SECONDS:
            self._on_polling()
        return wait

    def note_set_back(self) -> None:
        """Note that the database's clock was set back: ids of later events are below the mark."""
        self._slices.note_set_back()

    async def _empty_inbox(self) -> tuple[int, bool]:
        """Fan out for at most PASS_SECONDS.

        Return the number of events, and True if none is left, a shard was lost, or none is owned.
        """
        picked, until = 0, monotonic() + PASS_SECONDS
        while self._lease.owned and monotonic() < until:
            slice_ = self._slices.next_slice(monotonic())
            taken = await self._take(slice_)
            if taken is None:
                # The lease soon reads which shards are left, and then wakes this stage.
                return picked, True
            events, more = taken
            picked += events
            if not more and slice_.is_for_all and not self._slices.is_searching:
                return picked, True
            await asyncio.sleep(0)
        return picked, not self._lease.owned

    async def _take(self, slice_: Slice) -> tuple[int, bool] | None:
        """Run one statement for a slice.

        Return the number of events it took, and True if the slice may have more. Return None if
        another daemon owns the shard. Otherwise the slice would count as empty, and an event that
        a search has found below the mark would wait for the next search.
        """
        if slice_.kind == "search":
            await self._search(slice_)
            return 0, True
        # A change of a new delivery may be applied before the answer arrives.
        with self._reading() as stale:
            return await self._take_new(slice_, stale)

    async def _take_new(
        self, slice_: Slice, stale: Collection[int | UUID]
    ) -> tuple[int, bool] | None:
        """Run one statement, see `_take`; deliveries that are `stale` by then are not admitted."""
        limit = self._limits.of(slice_.excluded_environments)
        events = min(self._size.scale(EVENTS_LIMIT), limit.events)
        try:
            result = await self._fan_out(slice_, events)
        except StatementTimeoutError as error:
            self._raise_unless_valid(error)
            await self._handle_timeout(slice_, events, error)
            return 0, True
        except Exception as error:
            if not is_data_error(error):
                raise
            await self._handle_refusal(slice_, error)
            return 0, True
        if result.is_lost:
            return None
        more = self._note_result(slice_, events, result)
        if result.made:
            self._keep_events(result.small_events)
            if await self._admit(result.deliveries, parked=result.parked, stale=stale):
                self._must_announce_parked = True
            await asyncio.sleep(0)  # their attempts have started, and are written first
        return result.picked, more

    async def _fan_out(self, slice_: Slice, events: int) -> FannedOut:
        daemon, shards = self._lease.daemon, sorted(self._lease.owned)
        if daemon is None or not shards:
            return NOTHING
        shard = shards[next(self._shard_turn) % len(shards)]  # for deliveries not made parked
        if slice_.is_oversized:
            return await self._inbox.fan_out_slice(
                limit=self._size.scale(OVERSIZED_LIMIT),
                shard=shard,
                daemon=daemon,
                saturated=self._saturated(1),
                after_id=slice_.after_id,
                excluded_environments=slice_.excluded_environments,
                up_to=slice_.up_to_id,
            )
        batch = Batch(
            limit=events,
            shard=shard,
            daemon=daemon,
            saturated=self._saturated(events),
            after_id=slice_.after_id,
            deliveries_limit=self._size.scale(DELIVERIES_LIMIT),
            small_bytes=SMALL_BYTES,
            small_ids=ids.of_days(self._clock.now(), SMALL_DAYS),
        )
        return await self._fan_out_usual(slice_, batch) or await self._inbox.fan_out(
            **batch,
            excluded_environments=slice_.excluded_environments,
            up_to=slice_.up_to_id,
        )

    async def _fan_out_usual(self, slice_: Slice, batch: Batch) -> FannedOut | None:
        """Run the statement for the usual case; return None in another case, and soon after one."""
        if not slice_.is_for_all or monotonic() < self._usual_from:
            return None
        result = await self._inbox.fan_out_plain(**batch)
        if result.is_unusual:
            self._usual_from = monotonic() + UNUSUAL_SECONDS
            return None
        return result

    def _note_result(self, slice_: Slice, events: int, result: FannedOut) -> bool:
        """Note the result of a statement for up to `events` events.

        Return True if the slice may have more.
        """
        self._size.grow()
        limit = self._limits.of(slice_.excluded_environments)
        limit.note_result(events, result.seen, result.chosen)
        self._refused_in_a_row = 0
        if result.seen and not result.picked and not slice_.is_oversized:
            if not result.chosen:
                self._slices.mark_oversized(slice_)
            return True
        if result.picked or result.made:
            observe.events.fanned_out(result.picked, result.made)
        if slice_.is_oversized and (result.picked or not result.seen):
            self._slices.finish_oversized(slice_)
        is_full = result.picked < result.seen or result.seen == events
        more = is_full or (slice_.is_oversized and result.seen > 0)
        self._slices.note_taken(
            slice_,
            last_id=result.last_picked if more else result.last_waiting or result.last_picked,
            more=more,
            crowding=result.crowding,
            now=monotonic(),
            newest=result.newest,
            is_unordered=result.is_unordered,
        )
        return more

    async def _move_mark(self) -> None:
        """Move the mark in the database, or read it, if that is due.

        Ignore a timeout while heartbeats succeed, as no event is its cause.
        """
        if target := self._slices.mark_due(monotonic()):
            try:
                self._slices.note_mark(await self._inbox.raise_mark(*target))
            except StatementTimeoutError as error:
                self._raise_unless_valid(error)

    async def _search(self, slice_: Slice) -> None:
        """Search a slice below the mark for late commits."""
        began = monotonic()
        try:
            first, _ = await self._inbox.first(after_id=slice_.after_id, up_to=slice_.up_to_id)
        except StatementTimeoutError as error:
            self._raise_unless_valid(error)
            self._slices.note_search_timeout()
        else:
            self._slices.note_search(slice_, first, monotonic() - began)

    async def _find_first(self, slice_: Slice) -> int | None:
        """Return the first event of a slice; None if the part that is read has none or times out.

        The next call reads another part. An old snapshot may keep more rows of taken events before
        the first event than can be read in time. Then a statement for fewer events does not help.
        """
        limit = self._slices.lookup_limit(slice_)
        try:
            first, read_up_to = await self._inbox.first(
                after_id=slice_.after_id,
                up_to=limit,
                excluded_environments=slice_.excluded_environments,
            )
        except StatementTimeoutError as error:
            self._raise_unless_valid(error)
            self._slices.note_lookup_timeout()
            return None
        self._slices.note_empty(slice_, read_up_to if first is None else first - 1)
        return first

    async def _handle_timeout(
        self, slice_: Slice, events: int, error: StatementTimeoutError
    ) -> None:
        """Make the next statement smaller; quarantine an event that times out even in parts."""
        observe.events.fan_out_timed_out(events)
        first = slice_.up_to_id if slice_.is_one_event else await self._find_first(slice_)
        if first is None:
            return
        self._limits.of(slice_.excluded_environments).note_timeout(events)
        if self._size.shrink():
            return
        if not slice_.is_one_event:
            self._slices.isolate(first)
        elif not slice_.is_oversized:
            self._slices.mark_oversized(slice_)
        else:
            await self._quarantine(slice_, error)

    async def _handle_refusal(self, slice_: Slice, error: Exception) -> None:
        """Make statements smaller until one refused event is left, and quarantine it.

        Raise StoreError, so that the loop waits, after REFUSED_LIMIT events in a row.
        """
        if self._size.shrink():
            return
        if not slice_.is_one_event:
            first = await self._find_first(slice_)
            if first is not None:
                self._slices.isolate(first)
            return
        await self._quarantine(slice_, error)
        self._refused_in_a_row += 1
        if self._refused_in_a_row > REFUSED_LIMIT:
            message = f"the database refused {self._refused_in_a_row} events in a row"
            raise StoreError(f"{message}: {describe(error)}") from error

    async def _quarantine(self, slice_: Slice, error: Exception) -> None:
        """Quarantine the only event of a slice; the next slice excludes its environment."""
        crowding: tuple[str, ...] = ()
        for row in await self._inbox.quarantine("fan_out_failed", describe(error), slice_.up_to_id):
            observe.events.quarantined(row["event_id"], "fan_out_failed")
            crowding = (row["environment_id"],)
        self._slices.note_taken(
            slice_, last_id=slice_.up_to_id, more=True, crowding=crowding, now=monotonic()
        )

    def _raise_unless_valid(self, error: StatementTimeoutError) -> None:
        """Raise the error if heartbeats fail too: then the database is the cause, not an event."""
        if not self._lease.is_valid:
            raise error
