"""Hold deliveries in memory: due ones in endpoint queues, later ones in the retry heap.

The deliveries table is the truth, and memory may forget. This rule keeps it safe: each pending
delivery of an owned shard is in memory, or parked, or due at or after the shard's watermark, from
where it is read again; or another process changed it, and a change notice names it. Pure: times
are arguments, in epoch seconds by the database's clock.

Memory has bounds, so that no endpoint can fill it: the retry heap gets at most half of the
capacity, and when memory is full each endpoint queue keeps only a few deliveries (`SHORT`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from dispatcher.core.model import ChangeNotice, Delivery
from dispatcher.engine.endpoint_queues import EndpointQueues
from dispatcher.engine.retry_heap import RetryHeap

NEVER_READ = float("-inf")


class DeliveryBuffer:
    """The deliveries in memory: endpoint queues, retry heap, watermarks and parked endpoints.

    `capacity` bounds the number of deliveries. When it is reached, each endpoint still gets a
    short queue.
    """

    def __init__(self, *, capacity: int, queues: EndpointQueues) -> None:
        self.capacity = capacity
        self.queues = queues
        self.heap = RetryHeap(capacity // 2)
        # `_held` maps each delivery in memory (waiting, in the heap, in flight or unrecorded) to
        # its shard. Otherwise a row that is read twice would be sent twice.
        self._held: dict[int, int] = {}
        self._watermarks: dict[int, float] = {}
        self._parked: set[UUID] = set()
        self._readers: list[set[int | UUID]] = []
        # Retried or replayed deliveries that arrived before their last attempt was recorded.
        self._reborn: dict[int, Delivery] = {}

    def __repr__(self) -> str:
        return (
            f"<DeliveryBuffer {len(self._held)} of {self.capacity} held, {self.heap!r}, {self.queues!r}, "
            f"{len(self._parked)} endpoints with parked ones>"
        )

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, delivery_id: int) -> bool:
        return delivery_id in self._held

    @property
    def room(self) -> int:
        return max(0, self.capacity - len(self._held))

    @property
    def room_for_later(self) -> int:
        """Return how many deliveries that are not due yet fit; 0 if less than 1/8 of capacity."""
        room = min(self.room, self.heap.room)
        return room if room >= self.capacity // 8 else 0

    def room_for(self, endpoint_id: UUID) -> int:
        """Return how many due deliveries of this endpoint fit."""
        self._share()
        room = self.queues.room(endpoint_id)
        return room if self.queues.is_memory_full else min(room, self.room)

    def endpoints_without_room(self, coming: int) -> list[UUID]:
        """Return the endpoints without room for `coming` deliveries.

        The fan-out makes their next deliveries parked. Otherwise each would be parked afterwards.
        """
        self._share()
        return self.queues.endpoints_without_room(coming)

    @property
    def owned(self) -> Collection[int]:
        return self._watermarks.keys()

    def count_by_shard(self) -> Counter[int]:
        return Counter(self._held.values())

    # Shards

    def own(self, shards: frozenset[int]) -> None:
        """Own exactly these shards from now on.

        New shards are unread. Waiting deliveries of other shards leave memory.
        """
        for delivery in (
            *self.queues.drop_shards(shards),
            *self.heap.discard_shards(self._watermarks.keys() - shards),
        ):
            self._held.pop(delivery.id, None)
        self._watermarks = {s: self._watermarks.get(s, NEVER_READ) for s in shards}

    def watermark(self, shard: int) -> float:
        return self._watermarks.get(shard, NEVER_READ)

    def raise_watermark(self, shard: int, to: float) -> None:
        """Raise the watermark of an owned shard; call it before the rows up to `to` are read.

        Otherwise a retry recorded during the read would be neither in the heap nor read.
        """
        if shard in self._watermarks:
            self._watermarks[shard] = to

    def lower_watermark(self, shard: int, since: float) -> None:
        """Lower the watermark to `since`, so that the next read finds what is due from then on."""
        if self._watermarks.get(shard, since) > since:
            self._watermarks[shard] = since

    def invalidate_watermarks(self) -> None:
        """Reset all watermarks, so that the next read finds rows this daemon may have missed."""
        self._watermarks = dict.fromkeys(self._watermarks, NEVER_READ)

    def set_back(self, seconds: float) -> None:
        """Move all times in memory back by `seconds`, as the database's clock was."""
        self.heap.set_back(seconds)
        self.queues.set_back(seconds)
        self.invalidate_watermarks()

    def requeue_unread(self, deliveries: Iterable[Delivery]) -> None:
        """Lower the watermarks, so that the next read finds these deliveries again.

        Call it for deliveries that were read but neither taken into memory nor parked.
        """
        for delivery in deliveries:
            self.lower_watermark(delivery.shard, delivery.next_at)

    @contextmanager
    def reading(self) -> Iterator[set[int | UUID]]:
        """Collect what changes during a read, so that `admit` can ignore outdated rows.

        The set receives ids of deliveries whose attempt was recorded or whose row was changed, and
        of endpoints whose ordered queue starts again. Pass it to `admit` or `amend`.
        """
        settled: set[int | UUID] = set()
        self._readers.append(settled)
        try:
            yield settled
        finally:
            # By identity: two sets with the same content are equal, but belong to two reads.
            self._readers = [reader for reader in self._readers if reader is not settled]

    # Deliveries

    def admit(
        self, deliveries: Iterable[Delivery], now: float, settled: Collection[int | UUID] = ()
    ) -> list[Delivery]:
        """Take deliveries into memory, and return those to park.

        A delivery is to be parked if its endpoint queue is full or inactive. `settled` is the set
        of `reading`; its deliveries and endpoints are skipped. So are shards that are not owned.
        """
        to_park = []
        for delivery in deliveries:
            if delivery.id in self._held:
                if 0 < delivery.attempt == delivery.base and self._under_way(delivery):
                    self._reborn[delivery.id] = delivery
                continue
            if settled and (delivery.id in settled or delivery.endpoint_id in settled):
                continue
            if delivery.shard not in self._watermarks:
                continue
            if not self._place(delivery, now):
                to_park.append(delivery)
        self._parked.update(d.endpoint_id for d in to_park)
        return to_park

    def release_due(self, now: float) -> list[Delivery]:
        """Move due deliveries from the heap into the endpoint queues, and return those to park."""
        due = self.heap.next_due()
        if due is None or due > now:
            return []
        to_park = []
        self._share()
        for delivery in self.heap.pop_due(now, self.capacity):
            if not self.queues.offer(delivery):
                self._held.pop(delivery.id, None)
                to_park.append(delivery)
        self._parked.update(d.endpoint_id for d in to_park)
        return to_park

    def apply_changes(
        self, nudges: Iterable[ChangeNotice], now: float, settled: Collection[int | UUID]
    ) -> tuple[list[int], list[Delivery]]:
        """Apply change notices to the deliveries in memory.

        A deleted delivery leaves memory. One that is due now goes to the head of its queue, unless
        the queue is ordered: there it keeps its place. A notice is left for later if its delivery
        is in flight or unrecorded, if its shard is not owned, or if it is in `settled` (see
        `reading`).

        Return the ids of the notices that were applied, and the deliveries to park.
        """
        heeded = []
        changed: dict[UUID, dict[int, Delivery | None]] = {}
        for nudge in nudges:
            known = {nudge.delivery_id, nudge.endpoint_id}.isdisjoint(settled)
            flying = self.queues.is_under_way(nudge.endpoint_id, nudge.delivery_id)
            if known and not flying and nudge.shard in self._watermarks:
                heeded.append(nudge.id)
                now_is = nudge.delivery
                ours = now_is is not None and now_is.shard in self._watermarks
                changed.setdefault(nudge.endpoint_id, {})[nudge.delivery_id] = (
                    now_is if ours else None
                )
        self.heap.discard({i for rows in changed.values() for i in rows})
        to_park: list[Delivery] = []
        for endpoint_id, rows in changed.items():
            for reader in self._readers:
                reader.update(rows)
            if self.queues[endpoint_id].ordered:
                self._amend_in_order(endpoint_id, rows)
            else:
                to_park += self._amend(endpoint_id, rows, now)
        self._parked.update(d.endpoint_id for d in to_park)
        return heeded, to_park

    def take(self, now: float) -> Delivery | None:
        """Return the next delivery to start, None if none can start now."""
        return self.queues.take(now)

    def just_needs_refill(self, endpoint_id: UUID) -> bool:
        """Return True exactly when a queue with parked rows falls to half of its depth.

        Call it after `take`, and wake the loader on True. Otherwise the queue could run empty
        before the loader's next pass. Always False while memory is full: the queues are so short
        then that each delivery would wake the loader.
        """
        if endpoint_id not in self._parked or self.queues.is_memory_full:
            return False
        return self.queues.room(endpoint_id) == self.queues.depth // 2 + 1

    def finish_attempt(self, delivery: Delivery, took: float | None = None) -> None:
        """Note that the attempt has ended and waits to be recorded.

        `took` is its duration in seconds, None if it is unknown. An ordered queue starts
        nothing until the attempt is recorded.
        """
        self.queues.finish_attempt(delivery, took)

    def give_back(self, delivery: Delivery) -> None:
        """Release a delivery that was taken but not started; the owner of its shard reads it."""
        self.queues.confirm_recorded(delivery)
        self._held.pop(delivery.id, None)
        self._reborn.pop(delivery.id, None)
        self._read_lane_again(delivery.endpoint_id)
        self.lower_watermark(delivery.shard, delivery.next_at)

    def confirm_recorded(self, delivery: Delivery, again: Delivery | None) -> None:
        """Note that the attempt is recorded.

        `again` is the delivery with its next attempt, None if the delivery has ended.
        """
        lane = self.queues[delivery.endpoint_id]
        self._held.pop(delivery.id, None)
        for settled in self._readers:
            settled.add(delivery.id)
        self.queues.confirm_recorded(delivery)
        if reborn := self._reborn.pop(delivery.id, None):
            self.requeue_unread([reborn])
        if again is None or again.shard not in self._watermarks:
            return
        if lane.ordered:
            if self.queues.put_first(again):
                self._held[again.id] = again.shard
            else:
                self._read_lane_again(again.endpoint_id)
        elif again.next_at < self._watermarks[again.shard]:
            if self.heap.push(again.next_at, again):
                self._held[again.id] = again.shard
            else:
                self.lower_watermark(again.shard, again.next_at)

    def discard_stale(self, delivery: Delivery) -> None:
        """Note that the attempt was superseded: the row has changed, so read it again."""
        self.confirm_recorded(delivery, None)
        self._read_lane_again(delivery.endpoint_id)
        self.lower_watermark(delivery.shard, NEVER_READ)

    # Endpoints

    def configure(
        self,
        endpoint_id: UUID,
        *,
        limit: int,
        holding: bool,
        ordered: bool,
        paused_until: float,
        environment_id: str = "",
        interval: float = 0.0,
    ) -> list[Delivery]:
        """Open or change an endpoint's queue (see EndpointQueues.configure); return deliveries to park."""
        resumes = self.queues.is_paused(endpoint_id)
        evicted = self.queues.configure(
            endpoint_id,
            limit=limit,
            holding=holding,
            ordered=ordered,
            paused_until=paused_until,
            environment_id=environment_id,
            interval=interval,
        )
        for delivery in evicted:
            self._held.pop(delivery.id, None)
        if evicted or resumes:
            self._parked.add(endpoint_id)
        return evicted

    def forget(self, endpoint_ids: Iterable[UUID]) -> list[UUID]:
        """Close the queues of endpoints without deliveries in memory, and return their ids."""
        later = self.heap.endpoints()
        closed = [i for i in endpoint_ids if i not in later and self.queues.close(i)]
        self._parked.difference_update(closed)
        return closed

    def note_parked(self, endpoint_ids: Iterable[UUID]) -> None:
        """Note that these endpoints have parked rows in the table."""
        self._parked.update(endpoint_ids)

    def clear_parked(self, endpoint_id: UUID) -> None:
        self._parked.discard(endpoint_id)

    def endpoints_needing_refill(self) -> list[UUID]:
        """Return the endpoints that need a refill: parked rows, and a queue less than half full."""
        self._share()
        half = self.queues.depth // 2
        return [i for i in self._parked if self.queues.room(i) > half]

    def next_alarm(self) -> float | None:
        """Return the earliest time at which a delivery may start; None if no time is known."""
        times = [t for t in (self.heap.next_due(), self.queues.next_alarm()) if t is not None]
        return min(times, default=None)

    def _read_lane_again(self, endpoint_id: UUID) -> None:
        """Note that rows of this queue may be in the table only.

        An ordered queue is emptied, so that it starts again with its first row.
        """
        self._parked.add(endpoint_id)
        if self.queues[endpoint_id].ordered:
            for settled in self._readers:
                settled.add(endpoint_id)
            for delivery in self.queues.empty(endpoint_id):
                self._held.pop(delivery.id, None)

    def _amend(
        self, endpoint_id: UUID, rows: Mapping[int, Delivery | None], now: float
    ) -> list[Delivery]:
        """Replace the rows of an unordered queue, and return deliveries to park."""
        self.queues.replace_waiting(endpoint_id, dict.fromkeys(rows))
        to_park = []
        for number, delivery in rows.items():
            self._held.pop(number, None)
            if delivery is None:
                continue
            if delivery.next_at <= now and self.room and self.queues.put_first(delivery):
                self._held[number] = delivery.shard
            elif not self._place(delivery, now):
                to_park.append(delivery)
        return to_park

    def _amend_in_order(self, endpoint_id: UUID, rows: Mapping[int, Delivery | None]) -> None:
        """Replace the rows of an ordered queue in their places.

        If a changed row is in the table only, the queue is read again: a read that has begun may
        have missed that this row comes first.
        """
        waited = self.queues.replace_waiting(endpoint_id, rows)
        for number, delivery in rows.items():
            if delivery is None:
                self._held.pop(number, None)
            elif number not in waited:
                self._held.pop(number, None)
                self._read_lane_again(endpoint_id)
                self.requeue_unread([delivery])

    def _under_way(self, delivery: Delivery) -> bool:
        return self.queues.is_under_way(delivery.endpoint_id, delivery.id)

    def _place(self, delivery: Delivery, now: float) -> bool:
        lane = self.queues[delivery.endpoint_id]
        self._share()
        # A delivery without attempts is due at once. Otherwise a clock that is a little behind
        # the database's would put it into the heap.
        if delivery.next_at > now and delivery.attempt > delivery.base and not lane.ordered:
            if self.room and self.heap.push(delivery.next_at, delivery):
                self._held[delivery.id] = delivery.shard
            else:
                self.lower_watermark(delivery.shard, delivery.next_at)
            return True
        if self.queues.offer(delivery):
            self._held[delivery.id] = delivery.shard
            return True
        return False

    def _share(self) -> None:
        self.queues.is_memory_full = not self.room
