"""The alarm clock of the near future: which retries held in memory are due, earliest first.

Bounded, and never the truth: the row in the database is. A full heap refuses, and whoever pushed
leaves the delivery to the table, to be brought back when its time is nearer.
"""

import heapq
from collections.abc import Container
from dataclasses import replace
from uuid import UUID

from dispatcher.core.model import Delivery


class RetryHeap:
    """At most `capacity` deliveries by due time, on any one clock that never goes back.

    In the daemon that is the event loop's, so that a step of the wall clock moves no retry.
    Deliveries due at the same time come out in the order they went in.
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
        """How many more pushes will be taken."""
        return self._capacity - len(self._heap)

    def push(self, due: float, delivery: Delivery) -> bool:
        """Whether there was room for it."""
        if self.room <= 0:
            return False
        heapq.heappush(self._heap, (due, self._pushed, delivery))
        self._pushed += 1
        return True

    def pop_due(self, now: float, limit: int) -> list[Delivery]:
        """At most `limit` deliveries due at `now` or before, removed."""
        due: list[Delivery] = []
        while self._heap and self._heap[0][0] <= now and len(due) < limit:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def next_due(self) -> float | None:
        """When the earliest is due; None when nothing waits."""
        return self._heap[0][0] if self._heap else None

    def endpoints(self) -> set[UUID]:
        """To whom what waits is owed."""
        return {delivery.endpoint_id for _, _, delivery in self._heap}

    def discard_shards(self, shards: Container[int]) -> list[Delivery]:
        """Remove the deliveries of these shards, which another daemon now owns: those removed."""
        lost = [delivery for _, _, delivery in self._heap if delivery.shard in shards]
        if lost:
            self._heap = [entry for entry in self._heap if entry[2].shard not in shards]
            heapq.heapify(self._heap)
        return lost

    def discard(self, ids: Container[int]) -> None:
        """Remove these deliveries, if they are here."""
        kept = [entry for entry in self._heap if entry[2].id not in ids]
        if len(kept) < len(self._heap):
            self._heap = kept
            heapq.heapify(self._heap)

    def set_back(self, seconds: float) -> None:
        """The clock was set back: all that waits is due so much earlier by it."""
        self._heap = [
            (due - seconds, order, replace(delivery, next_at=delivery.next_at - seconds))
            for due, order, delivery in self._heap
        ]

    def clear(self) -> None:
        """Forget everything: the rows are still in the table."""
        self._heap.clear()
