"""Keep deliveries in memory within its bounds: due ones in endpoint queues, others in the heap.

No endpoint can fill memory: the retry heap gets at most half of the capacity, and when memory is
full each endpoint queue keeps only a few deliveries. Pure.
"""

from collections import Counter
from collections.abc import Collection, Iterable, KeysView
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.buffer.retry_heap import RetryHeap


class DeliveriesInMemory:
    """The deliveries in memory: waiting, in the retry heap, in flight or unrecorded.

    `capacity` bounds their number. When it is reached, each endpoint still gets a short queue.
    """

    def __init__(self, capacity: int, queues: EndpointQueues) -> None:
        self._capacity = capacity
        self._queues = queues
        self._heap = RetryHeap(capacity // 2)
        # Each delivery in memory with its shard. Otherwise a row that is read twice would be sent
        # twice.
        self._shards: dict[int, int] = {}
        queues.count_memory_by(self.free)

    def __str__(self) -> str:
        return f"{len(self)} of {self._capacity} in memory, {self._heap!r}, {self._queues!r}"

    def __len__(self) -> int:
        return len(self._shards)

    def __contains__(self, delivery_id: int) -> bool:
        return delivery_id in self._shards

    @property
    def ids(self) -> KeysView[int]:
        """Return the ids of the deliveries in memory."""
        return self._shards.keys()

    @property
    def scheduled_count(self) -> int:
        """Return how many deliveries are in the retry heap."""
        return len(self._heap)

    def free(self) -> int:
        """Return how many more deliveries fit; negative if there are more than `capacity`."""
        return self._capacity - len(self._shards)

    @property
    def room(self) -> int:
        """Return how many more deliveries fit."""
        return max(0, self.free())

    @property
    def room_for_later(self) -> int:
        """Return how many deliveries that are not due yet fit; 0 if less than 1/8 of capacity."""
        room = min(self.room, self._heap.room)
        return room if room >= self._capacity // 8 else 0

    def count_by_shard(self) -> Counter[int]:
        """Return how many deliveries of each shard are in memory."""
        return Counter(self._shards.values())

    def offer(self, delivery: Delivery) -> bool:
        """Append a due delivery to its queue; return False if the queue is full or stopped."""
        if not self._queues.offer(delivery):
            return False
        self._shards[delivery.id] = delivery.shard
        return True

    def put_first(self, delivery: Delivery) -> bool:
        """Put a delivery at the head of its queue, even a full one; return False if stopped."""
        if not self._queues.put_first(delivery):
            return False
        self._shards[delivery.id] = delivery.shard
        return True

    def keep_for_later(self, delivery: Delivery) -> bool:
        """Put a delivery into the retry heap; return False if the heap is full."""
        if not self._heap.push(delivery.next_at, delivery):
            return False
        self._shards[delivery.id] = delivery.shard
        return True

    def release_due(self, now: float) -> list[Delivery]:
        """Move due deliveries from the heap into their queues; return those without room."""
        due = self._heap.next_due()
        if due is None or due > now:
            return []
        offer = self._queues.offer
        left = [d for d in self._heap.pop_due(now, self._capacity) if not offer(d)]
        self.drop(left)
        return left

    def drop(self, deliveries: Iterable[Delivery]) -> None:
        """Forget deliveries that are in no queue and not in the heap any more."""
        for delivery in deliveries:
            self._shards.pop(delivery.id, None)

    def drop_id(self, delivery_id: int) -> None:
        """Forget a delivery that is in no queue and not in the heap any more."""
        self._shards.pop(delivery_id, None)

    def drop_other_shards(self, shards: frozenset[int], lost: Collection[int]) -> None:
        """Forget the deliveries of `lost` shards that are not in flight; keep those of `shards`."""
        self.drop(self._queues.drop_other_shards(shards))
        self.drop_later(lost)

    def drop_later(self, shards: Collection[int]) -> list[Delivery]:
        """Forget the deliveries of these shards in the retry heap, and return them."""
        dropped = self._heap.discard_shards(shards)
        self.drop(dropped)
        return dropped

    def discard_later(self, ids: Collection[int]) -> None:
        """Remove deliveries from the retry heap; they still count until they are dropped."""
        self._heap.discard(ids)

    def later_endpoints(self) -> set[UUID]:
        """Return the endpoints with deliveries in the retry heap."""
        return self._heap.endpoints()

    def next_due(self) -> float | None:
        """Return when the earliest delivery of the retry heap is due, None if it is empty."""
        return self._heap.next_due()

    def set_back(self, seconds: float) -> None:
        """Move all times back by `seconds`, as the clock was."""
        self._heap.set_back(seconds)
        self._queues.set_back(seconds)
