"""What this daemon holds in memory: each due delivery in a lane, each later one in the heap.

The table is the truth and this is its alarm clock. The rule that makes it safe to forget: a
pending delivery of a shard we own is in memory, or parked, or due at or after the shard's
watermark, from where it will be read again; or somebody changed it, and a nudge says so. Pure:
times are arguments, by the database's clock.

Memory is shared so that nobody can take it all: retries of the near future get half of it at the
most, and when it is full each lane keeps the few that its endpoint is sent next.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from dispatcher.core.model import Delivery, Nudge
from dispatcher.engine.endpoint_queues import Lanes
from dispatcher.engine.retry_heap import RetryHeap

NEVER_READ = float("-inf")


class Pending:
    """`capacity` bounds the deliveries in memory, but for a short queue an endpoint."""

    def __init__(self, *, capacity: int, lanes: Lanes) -> None:
        self.capacity = capacity
        self.lanes = lanes
        self.heap = RetryHeap(capacity // 2)
        # Mutable state: `_held` maps each delivery in memory (waiting, in the heap, in flight or
        # being recorded) to its shard; it is what makes reading a row twice harmless.
        self._held: dict[int, int] = {}
        self._watermarks: dict[int, float] = {}
        self._parked: set[UUID] = set()
        self._readers: list[set[int | UUID]] = []
        # Sent again while the attempt that ended them is still being settled.
        self._reborn: dict[int, Delivery] = {}

    def __repr__(self) -> str:
        return (
            f"<Pending {len(self._held)} of {self.capacity} held, {self.heap!r}, {self.lanes!r}, "
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
    def room_ahead(self) -> int:
        """How many deliveries that are not due yet would be taken; 0 when it is hardly any."""
        room = min(self.room, self.heap.room)
        return room if room >= self.capacity // 8 else 0

    def room_for(self, endpoint_id: UUID) -> int:
        """How many due deliveries of this endpoint would be taken."""
        self._share()
        room = self.lanes.room(endpoint_id)
        return room if self.lanes.crowded else min(room, self.room)

    def saturated(self, coming: int) -> list[UUID]:
        """Endpoints without room for so many: their next deliveries are better made parked."""
        self._share()
        return self.lanes.saturated(coming)

    @property
    def owned(self) -> Collection[int]:
        return self._watermarks.keys()

    def held_by_shard(self) -> Counter[int]:
        return Counter(self._held.values())

    # Shards

    def own(self, shards: frozenset[int]) -> None:
        """From now on exactly these: new ones are unread, what waits of others is let go."""
        for delivery in (
            *self.lanes.drop_shards(shards),
            *self.heap.discard_shards(self._watermarks.keys() - shards),
        ):
            self._held.pop(delivery.id, None)
        self._watermarks = {s: self._watermarks.get(s, NEVER_READ) for s in shards}

    def watermark(self, shard: int) -> float:
        return self._watermarks.get(shard, NEVER_READ)

    def raise_watermark(self, shard: int, to: float) -> None:
        """Before reading up to `to`: what is recorded during the read must come into the heap."""
        if shard in self._watermarks:
            self._watermarks[shard] = to

    def read_again(self, shard: int, since: float) -> None:
        """Something due at `since` is not in memory: let the next read find it."""
        if self._watermarks.get(shard, since) > since:
            self._watermarks[shard] = since

    def doubt(self) -> None:
        """Rows may have been made of which we were not told: let the next read find them."""
        self._watermarks = dict.fromkeys(self._watermarks, NEVER_READ)

    def set_back(self, seconds: float) -> None:
        """The clock was set back: what waits keeps its distance from now."""
        self.heap.set_back(seconds)
        self.lanes.set_back(seconds)
        self.doubt()

    def leave(self, deliveries: Iterable[Delivery]) -> None:
        """These were neither taken nor parked: let the next read find them."""
        for delivery in deliveries:
            self.read_again(delivery.shard, delivery.next_at)

    @contextmanager
    def reading(self) -> Iterator[set[int | UUID]]:
        """While rows are being read: collects what is settled meanwhile, so that rows as read are
        already out of date: deliveries, and whole endpoints whose ordered lane starts again. Pass
        it to `admit`."""
        settled: set[int | UUID] = set()
        self._readers.append(settled)
        try:
            yield settled
        finally:
            # By identity: two readers who have seen the same are equal, and each has its own.
            self._readers = [reader for reader in self._readers if reader is not settled]

    # The way of a delivery

    def admit(
        self, deliveries: Iterable[Delivery], now: float, settled: Collection[int | UUID] = ()
    ) -> list[Delivery]:
        """Take deliveries into memory; returns those to park, their lane being full or holding."""
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

    def tick(self, now: float) -> list[Delivery]:
        """Move what has become due from the heap into the lanes; returns those to park."""
        due = self.heap.next_due()
        if due is None or due > now:
            return []
        to_park = []
        self._share()
        for delivery in self.heap.pop_due(now, self.capacity):
            if not self.lanes.offer(delivery):
                self._held.pop(delivery.id, None)
                to_park.append(delivery)
        self._parked.update(d.endpoint_id for d in to_park)
        return to_park

    def amend(
        self, nudges: Iterable[Nudge], now: float, settled: Collection[int | UUID]
    ) -> tuple[list[int], list[Delivery]]:
        """Rows that were changed by others take the place of what is held of them: what is gone is
        let go, what is due now comes first in its lane. `settled`: see `reading`.

        Returns the ids of the nudges that need no more attention, and deliveries to park. What is
        under way is left alone: whatever its row says by then is to be read once it is settled.
        """
        heeded = []
        changed: dict[UUID, dict[int, Delivery | None]] = {}
        for nudge in nudges:
            known = {nudge.delivery_id, nudge.endpoint_id}.isdisjoint(settled)
            flying = self.lanes.under_way(nudge.endpoint_id, nudge.delivery_id)
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
            if self.lanes[endpoint_id].ordered:
                self._amend_in_order(endpoint_id, rows)
            else:
                to_park += self._amend(endpoint_id, rows, now)
        self._parked.update(d.endpoint_id for d in to_park)
        return heeded, to_park

    def take(self, now: float) -> Delivery | None:
        """The next delivery to start."""
        return self.lanes.take(now)

    def got_hungry(self, endpoint_id: UUID) -> bool:
        """Did taking one of this endpoint's make it hungry? Who waits for `hungry` to be asked may
        find the lane empty. While memory is full, lanes are too short to tell of each."""
        if endpoint_id not in self._parked or self.lanes.crowded:
            return False
        return self.lanes.room(endpoint_id) == self.lanes.depth // 2 + 1

    def land(self, delivery: Delivery, took: float | None = None) -> None:
        """Its attempt is over, after so many seconds, and waits to be recorded. An ordered lane
        stays shut until then."""
        self.lanes.land(delivery, took)

    def give_back(self, delivery: Delivery) -> None:
        """It was taken but not started: to be read again by whoever owns its shard."""
        self.lanes.settle(delivery)
        self._held.pop(delivery.id, None)
        self._reborn.pop(delivery.id, None)
        self._read_lane_again(delivery.endpoint_id)
        self.read_again(delivery.shard, delivery.next_at)

    def settle(self, delivery: Delivery, again: Delivery | None) -> None:
        """Its attempt is recorded. `again` is the delivery as it is now, None when it has ended."""
        lane = self.lanes[delivery.endpoint_id]
        self._held.pop(delivery.id, None)
        for settled in self._readers:
            settled.add(delivery.id)
        self.lanes.settle(delivery)
        if reborn := self._reborn.pop(delivery.id, None):
            self.leave([reborn])
        if again is None or again.shard not in self._watermarks:
            return
        if lane.ordered:
            if self.lanes.put_first(again):
                self._held[again.id] = again.shard
            else:
                self._read_lane_again(again.endpoint_id)
        elif again.next_at < self._watermarks[again.shard]:
            if self.heap.push(again.next_at, again):
                self._held[again.id] = again.shard
            else:
                self.read_again(again.shard, again.next_at)

    def lose(self, delivery: Delivery) -> None:
        """Its attempt was superseded: the table knows better, so read it again."""
        self.settle(delivery, None)
        self._read_lane_again(delivery.endpoint_id)
        self.read_again(delivery.shard, NEVER_READ)

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
        """Open or change an endpoint's lane (see Lanes.configure); returns deliveries to park."""
        resumes = self.lanes.holds(endpoint_id)
        evicted = self.lanes.configure(
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
        """Close the lanes of endpoints that nothing in memory is owed to; returns which."""
        later = self.heap.endpoints()
        closed = [i for i in endpoint_ids if i not in later and self.lanes.close(i)]
        self._parked.difference_update(closed)
        return closed

    def note_parked(self, endpoint_ids: Iterable[UUID]) -> None:
        """These have rows that are only in the table."""
        self._parked.update(endpoint_ids)

    def none_parked(self, endpoint_id: UUID) -> None:
        self._parked.discard(endpoint_id)

    def hungry(self) -> list[UUID]:
        """Endpoints with parked deliveries and a lane half empty."""
        self._share()
        half = self.lanes.depth // 2
        return [i for i in self._parked if self.lanes.room(i) > half]

    def next_alarm(self) -> float | None:
        """When something in memory may next be started, if nothing can be now."""
        times = [t for t in (self.heap.next_due(), self.lanes.next_alarm()) if t is not None]
        return min(times, default=None)

    def _read_lane_again(self, endpoint_id: UUID) -> None:
        """Rows of this lane may be in the table only. An ordered one starts again from its first."""
        self._parked.add(endpoint_id)
        if self.lanes[endpoint_id].ordered:
            for settled in self._readers:
                settled.add(endpoint_id)
            for delivery in self.lanes.empty(endpoint_id):
                self._held.pop(delivery.id, None)

    def _amend(
        self, endpoint_id: UUID, rows: Mapping[int, Delivery | None], now: float
    ) -> list[Delivery]:
        """Returns deliveries to park."""
        self.lanes.amend(endpoint_id, dict.fromkeys(rows))
        to_park = []
        for number, delivery in rows.items():
            self._held.pop(number, None)
            if delivery is None:
                continue
            if delivery.next_at <= now and self.room and self.lanes.put_first(delivery):
                self._held[number] = delivery.shard
            elif not self._place(delivery, now):
                to_park.append(delivery)
        return to_park

    def _amend_in_order(self, endpoint_id: UUID, rows: Mapping[int, Delivery | None]) -> None:
        """In their places. Of one that is only in the table, the reads under way know no more what
        comes first."""
        waited = self.lanes.amend(endpoint_id, rows)
        for number, delivery in rows.items():
            if delivery is None:
                self._held.pop(number, None)
            elif number not in waited:
                self._held.pop(number, None)
                self._read_lane_again(endpoint_id)
                self.leave([delivery])

    def _under_way(self, delivery: Delivery) -> bool:
        return self.lanes.under_way(delivery.endpoint_id, delivery.id)

    def _place(self, delivery: Delivery, now: float) -> bool:
        lane = self.lanes[delivery.endpoint_id]
        self._share()
        # One that was never tried was due when it was made, whatever our idea of the time is.
        if delivery.next_at > now and delivery.attempt > delivery.base and not lane.ordered:
            if self.room and self.heap.push(delivery.next_at, delivery):
                self._held[delivery.id] = delivery.shard
            else:
                self.read_again(delivery.shard, delivery.next_at)
            return True
        if self.lanes.offer(delivery):
            self._held[delivery.id] = delivery.shard
            return True
        return False

    def _share(self) -> None:
        self.lanes.crowded = not self.room
