"""Order the retries in memory by due time, earliest first.

The heap is bounded, and the row in the database is the truth. A full heap takes no more: the
delivery stays in the table, and the loader reads it again when its time is nearer.
"""

import heapq
from collections.abc import Container
from dataclasses import replace
from uuid import UUID

from dispatcher.core.model import Delivery


class RetryHeap:
    """A heap of at most `capacity` deliveries by due time.

    In the daemon, times are epoch seconds by the database's clock; `set_back` follows that clock
    when it is set back. Deliveries due at the same time come out in the order they went in.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._pushed = 0
        self._heap: list[tuple[float, int, Delivery]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def __repr__(self) -> str:
        due = self.next_due()
        waiting = f"{len(self)} of {self._capacity}"
        return f"<RetryHeap {waiting}, {'nothing' if due is None else f'next at {due:.3f}'}>"

    @property
    def room(self) -> int:
        """Return how many more deliveries fit."""
        return self._capacity - len(self._heap)

    def push(self, due: float, delivery: Delivery) -> bool:
        """Add a delivery due at `due`; return False if the heap is full."""
        if self.room <= 0:
            return False
        heapq.heappush(self._heap, (due, self._pushed, delivery))
        self._pushed += 1
        return True

    def pop_due(self, now: float, limit: int) -> list[Delivery]:
        """Remove and return at most `limit` deliveries due at `now` or before."""
        due: list[Delivery] = []
        while self._heap and self._heap[0][0] <= now and len(due) < limit:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def next_due(self) -> float | None:
        """Return when the earliest delivery is due, None if the heap is empty."""
        return self._heap[0][0] if self._heap else None

    def endpoints(self) -> set[UUID]:
        """Return the endpoints of the deliveries in the heap."""
        return {delivery.endpoint_id for _, _, delivery in self._heap}

    def discard_shards(self, shards: Container[int]) -> list[Delivery]:
        """Remove and return the deliveries of these shards."""
        lost = [delivery for _, _, delivery in self._heap if delivery.shard in shards]
        if lost:
            self._heap = [entry for entry in self._heap if entry[2].shard not in shards]
            heapq.heapify(self._heap)
        return lost

    def discard(self, ids: Container[int]) -> None:
        """Remove the deliveries with these ids; ignore ids that are not in the heap."""
        kept = [entry for entry in self._heap if entry[2].id not in ids]
        if len(kept) < len(self._heap):
            self._heap = kept
            heapq.heapify(self._heap)

    def set_back(self, seconds: float) -> None:
        """Move all due times back by `seconds`, as the clock was."""
        self._heap = [
            (due - seconds, order, replace(delivery, next_at=delivery.next_at - seconds))
            for due, order, delivery in self._heap
        ]
