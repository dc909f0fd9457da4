"""Hold deliveries in memory, in agreement with the deliveries table.

The table is the truth, and memory may forget. This rule keeps it safe: each pending delivery of an
owned shard is in memory, or parked, or due at or after the shard's watermark, from where it is read
again; or another process changed it, and a change notice names it. Pure: times are arguments, in
epoch seconds by the database's clock.
"""

from collections import Counter
from collections.abc import Collection, Iterable, KeysView, Mapping
from contextlib import AbstractContextManager
from uuid import UUID

from dispatcher.core.model import AppliedChanges, ChangeNotice, Delivery
from dispatcher.engine.buffer.deliveries_in_memory import DeliveriesInMemory
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import REFILL_LIMIT, EndpointQueues
from dispatcher.engine.buffer.open_reads import OpenReads
from dispatcher.engine.buffer.parked_endpoints import ParkedEndpoints
from dispatcher.engine.buffer.watermarks import NEVER_READ, Watermarks


class DeliveryBuffer:
    """The deliveries in memory, the watermarks, and the endpoints with parked rows.

    `capacity` bounds the number of deliveries. When it is reached, each endpoint still gets a
    short queue.
    """

    def __init__(self, *, capacity: int, queues: EndpointQueues) -> None:
        self._queues = queues
        self._in_memory = DeliveriesInMemory(capacity, queues)
        self._watermarks = Watermarks()
        self._reads = OpenReads()
        self.parked = ParkedEndpoints()
        # Retried or replayed deliveries that arrived before their last attempt was recorded.
        self._resent_while_recording: dict[int, Delivery] = {}

    def __repr__(self) -> str:
        return f"<DeliveryBuffer {self._in_memory}, {len(self.parked)} endpoints with parked ones>"

    def __len__(self) -> int:
        return len(self._in_memory)

    def __contains__(self, delivery_id: int) -> bool:
        return delivery_id in self._in_memory

    @property
    def room(self) -> int:
        """Return how many more deliveries fit."""
        return self._in_memory.room

    @property
    def room_for_later(self) -> int:
        """Return how many deliveries that are not due yet fit; 0 if less than 1/8 of capacity."""
        return self._in_memory.room_for_later

    @property
    def scheduled_count(self) -> int:
        """Return how many deliveries in memory wait for their next attempt's time."""
        return self._in_memory.scheduled_count

    def room_for(self, endpoint_id: UUID) -> int:
        """Return how many due deliveries of this endpoint fit."""
        room = self._queues.room(endpoint_id)
        return room if self._queues.is_memory_full else min(room, self.room)

    def rows_to_read(self, endpoint_id: UUID) -> int:
        """Return how many parked rows of an endpoint to read: at most REFILL_LIMIT new ones.

        Rows in memory may be parked in the table too, and come back first. So they are added.
        """
        room = min(self.room_for(endpoint_id), REFILL_LIMIT)
        return room + self._queues.count_in_memory(endpoint_id)

    def endpoints_without_room(self, coming: int) -> list[UUID]:
        """Return the endpoints without room for `coming` deliveries.

        The fan-out makes their next deliveries parked. Otherwise each would be parked afterwards.
        """
        return self._queues.endpoints_without_room(coming)

    def endpoints_needing_refill(self) -> list[UUID]:
        """Return the endpoints with parked rows and a queue that runs empty soon."""
        queues = self._queues
        low = queues.refill_depth
        return [i for i in self.parked if queues.room(i) and queues.count_waiting(i) < low]

    def just_needs_refill(self, endpoint_id: UUID) -> bool:
        """Return True exactly when a queue with parked rows falls below its `refill_depth`.

        Call it after `take`, and wake the loader on True. Otherwise the queue could run empty
        before the loader's next pass. Always False while memory is full: the queues are so short
        then that each delivery would wake the loader.
        """
        if endpoint_id not in self.parked or self._queues.is_memory_full:
            return False
        return self._queues.count_waiting(endpoint_id) == self._queues.refill_depth - 1

    @property
    def owned(self) -> KeysView[int]:
        """Return the owned shards."""
        return self._watermarks.shards

    def count_by_shard(self) -> Counter[int]:
        """Return how many deliveries of each shard are in memory."""
        return self._in_memory.count_by_shard()

    def own(self, shards: frozenset[int]) -> None:
        """Own exactly these shards from now on.

        New shards are unread. Deliveries of other shards leave memory, except those under way.
        """
        self._in_memory.drop_other_shards(shards, self.owned - shards)
        self._watermarks.own(shards)

    def watermark(self, shard: int) -> float:
        """Return the due time from which rows of a shard are still to be read."""
        return self._watermarks.get(shard)

    def raise_watermark(self, shard: int, to: float) -> None:
        """Raise the watermark of an owned shard; call it before the rows up to `to` are read.

        Otherwise a retry recorded during the read would be neither in the heap nor read.
        """
        self._watermarks.set(shard, to)

    def lower_watermark(self, shard: int, to: float) -> None:
        """Lower the watermark, so that the next read finds the rows that are due from `to` on."""
        self._watermarks.lower_to(shard, to)

    def invalidate_watermarks(self) -> None:
        """Reset all watermarks, so that the next read finds rows this daemon may have missed."""
        self._watermarks.reset()

    def set_back(self, seconds: float) -> None:
        """Move all times in memory back by `seconds`, as the database's clock was."""
        self._in_memory.set_back(seconds)
        self._watermarks.reset()

    def read_again(self, shards: Collection[int]) -> None:
        """Forget these shards' retry heap and all ordered queues: the table has other times now."""
        for endpoint_id in self._queues.ordered():
            self._read_queue_again(endpoint_id)
        self._note_to_park(self._in_memory.drop_later(shards))
        self._watermarks.reset()

    def reading(self) -> AbstractContextManager[set[int | UUID]]:
        """Collect what becomes stale during a read; pass the set to `admit` or `apply_changes`.

        The set receives ids of deliveries whose attempt was recorded or whose row was changed, and
        of endpoints whose ordered queue starts again.
        """
        return self._reads.begin()

    def admit(
        self, deliveries: Iterable[Delivery], now: float, stale: Collection[int | UUID] = ()
    ) -> list[Delivery]:
        """Take deliveries into memory, and return those to park.

        A delivery is to be parked if its endpoint queue is full or stopped. Deliveries and
        endpoints in `stale`, the set of `reading`, are skipped. So are shards that are not owned.
        """
        to_park = []
        ids_in_memory, owned = self._in_memory.ids, self.owned
        for delivery in deliveries:
            if delivery.id in ids_in_memory:
                is_resent = delivery.attempt > 0 and not delivery.attempts_of_schedule
                if is_resent and self._queues.is_under_way(delivery.endpoint_id, delivery.id):
                    self._resent_while_recording[delivery.id] = delivery
            elif stale and (delivery.id in stale or delivery.endpoint_id in stale):
                continue
            elif delivery.shard in owned and not self._place(delivery, now):
                to_park.append(delivery)
        return self._note_to_park(to_park)

    def requeue_unread(self, deliveries: Iterable[Delivery]) -> None:
        """Lower the watermarks, so that the next read finds these deliveries again.

        Call it for deliveries that were read but neither taken into memory nor parked.
        """
        for delivery in deliveries:
            self._watermarks.lower_to(delivery.shard, delivery.next_at)

    def apply_changes(
        self, notices: Iterable[ChangeNotice], now: float, stale: Collection[int | UUID]
    ) -> AppliedChanges:
        """Apply change notices to the deliveries in memory.

        A deleted delivery leaves memory. One that is due now goes to the head of its queue, unless
        the queue is ordered: there it keeps its place. A notice is left for later if its delivery
        is in flight or unrecorded, if its shard is not owned, or if its delivery or endpoint is in
        `stale` (see `reading`).
        """
        applied = [notice for notice in notices if self._can_apply(notice, stale)]
        changes: dict[UUID, dict[int, Delivery | None]] = {}
        for notice in applied:
            row = notice.delivery
            is_owned = row is not None and row.shard in self.owned
            changes.setdefault(notice.endpoint_id, {})[notice.delivery_id] = (
                row if is_owned else None
            )
        self._in_memory.discard_later({number for rows in changes.values() for number in rows})
        to_park: list[Delivery] = []
        for endpoint_id, rows in changes.items():
            for number in rows:
                self._reads.mark_stale(number)
            if self._queues.is_ordered(endpoint_id):
                self._change_ordered(endpoint_id, rows)
            else:
                to_park += self._change_unordered(endpoint_id, rows, now)
        notice_ids = [notice.id for notice in applied]
        return AppliedChanges(notice_ids, self._note_to_park(to_park))

    def release_due(self, now: float) -> list[Delivery]:
        """Move due deliveries from the heap into the endpoint queues, and return those to park."""
        return self._note_to_park(self._in_memory.release_due(now))

    def take(self, now: float) -> Delivery | None:
        """Return the next delivery to start, None if none can start now."""
        return self._queues.take(now)

    def next_alarm(self, *, can_start: bool = True) -> float | None:
        """Return when a retry is due or, if `can_start`, a queue may start; None if not known."""
        times = (self._in_memory.next_due(), self._queues.next_alarm() if can_start else None)
        return min((time for time in times if time is not None), default=None)

    def give_back(self, delivery: Delivery) -> None:
        """Release a delivery that was taken, not started; the owner of its shard reads it again."""
        self._queues.release(delivery)
        self._in_memory.drop_id(delivery.id)
        self._resent_while_recording.pop(delivery.id, None)
        self._read_queue_again(delivery.endpoint_id)
        self._watermarks.lower_to(delivery.shard, delivery.next_at)

    def finish_attempt(self, delivery: Delivery, seconds: float | None = None) -> None:
        """Note that the attempt ended after `seconds` (None: unknown) and waits to be recorded.

        An ordered queue starts nothing until the attempt is recorded.
        """
        self._queues.finish_attempt(delivery, seconds)

    def confirm_recorded(self, delivery: Delivery, retry: Delivery | None) -> None:
        """Note that the attempt is recorded.

        `retry` is the delivery with its next attempt, None if the delivery has ended.
        """
        self._in_memory.drop_id(delivery.id)
        self._reads.mark_stale(delivery.id)
        self._queues.release(delivery)
        if resent := self._resent_while_recording.pop(delivery.id, None):
            self.requeue_unread([resent])
        if retry is None or retry.shard not in self.owned:
            return
        if self._queues.is_ordered(delivery.endpoint_id):
            if not self._in_memory.put_first(retry):
                self._read_queue_again(retry.endpoint_id)
            return
        is_read = retry.next_at < self._watermarks.get(retry.shard)
        if is_read and not self._in_memory.keep_for_later(retry):
            self._watermarks.lower_to(retry.shard, retry.next_at)

    def note_late(self, delivery: Delivery) -> None:
        """Note that the result came late: the row has changed, so read it again."""
        self.confirm_recorded(delivery, None)
        self._read_queue_again(delivery.endpoint_id)
        self._watermarks.lower_to(delivery.shard, NEVER_READ)

    def configure(self, endpoint_id: UUID, settings: QueueSettings) -> list[Delivery]:
        """Open or change an endpoint's queue; return deliveries to park if it is stopped now."""
        was_stopped = self._queues.is_stopped(endpoint_id)
        to_park = self._queues.configure(endpoint_id, settings)
        self._in_memory.drop(to_park)
        if to_park or was_stopped:
            self.parked.note([endpoint_id])
        return to_park

    def forget(self, endpoint_ids: Iterable[UUID]) -> list[UUID]:
        """Close the queues of endpoints without deliveries in memory, and return their ids."""
        later = self._in_memory.later_endpoints()
        closed = [i for i in endpoint_ids if i not in later and self._queues.close(i)]
        for endpoint_id in closed:
            self.parked.pop(endpoint_id, None)
        return closed

    def _note_to_park(self, deliveries: list[Delivery]) -> list[Delivery]:
        if deliveries:
            self.parked.note(delivery.endpoint_id for delivery in deliveries)
        return deliveries

    def _read_queue_again(self, endpoint_id: UUID) -> None:
        """Note that rows of this queue may be in the table only.

        An ordered queue is emptied, so that it starts again with its first row.
        """
        self.parked.note([endpoint_id])
        if self._queues.is_ordered(endpoint_id):
            self._reads.mark_stale(endpoint_id)
            self._in_memory.drop(self._queues.empty(endpoint_id))

    def _can_apply(self, notice: ChangeNotice, stale: Collection[int | UUID]) -> bool:
        return (
            notice.delivery_id not in stale
            and notice.endpoint_id not in stale
            and notice.shard in self.owned
            and not self._queues.is_under_way(notice.endpoint_id, notice.delivery_id)
        )

    def _change_unordered(
        self, endpoint_id: UUID, rows: Mapping[int, Delivery | None], now: float
    ) -> list[Delivery]:
        """Replace the rows of an unordered queue, and return deliveries to park."""
        self._queues.replace_waiting(endpoint_id, dict.fromkeys(rows))
        to_park = []
        for number, delivery in rows.items():
            self._in_memory.drop_id(number)
            if delivery is None:
                continue
            if delivery.next_at <= now and self.room and self._in_memory.put_first(delivery):
                continue
            if not self._place(delivery, now):
                to_park.append(delivery)
        return to_park

    def _change_ordered(self, endpoint_id: UUID, rows: Mapping[int, Delivery | None]) -> None:
        """Replace the rows of an ordered queue in their places.

        If a changed row is in the table only, the queue is read again: a read that has begun may
        have missed that this row comes first.
        """
        replaced = self._queues.replace_waiting(endpoint_id, rows)
        for number, delivery in rows.items():
            if delivery is None:
                self._in_memory.drop_id(number)
            elif number not in replaced:
                self._in_memory.drop_id(number)
                self._read_queue_again(endpoint_id)
                self.requeue_unread([delivery])

    def _place(self, delivery: Delivery, now: float) -> bool:
        """Put a delivery into its queue or into the heap; return False if it is to be parked."""
        # A delivery without attempts is due at once. Otherwise a clock that is a little behind
        # the database's would put it into the heap.
        is_later = delivery.next_at > now and delivery.attempts_of_schedule > 0
        if not is_later or self._queues.is_ordered(delivery.endpoint_id):
            return self._in_memory.offer(delivery)
        if not self.room or not self._in_memory.keep_for_later(delivery):
            self._watermarks.lower_to(delivery.shard, delivery.next_at)
        return True
