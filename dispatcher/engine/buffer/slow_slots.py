"""Bound the attempts in flight to slow endpoints, so that those cannot use all slots. Pure."""

from collections.abc import Iterable
from uuid import UUID

from dispatcher.engine.buffer.endpoint_queue import EndpointQueue


class SlowSlots:
    """The slots for slow endpoints, `limit` in all, and the queues that wait for one.

    A queue waits here until `stop_waiting`; the one that has waited longest is the next to resume.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight: set[int] = set()
        self._waiting: dict[UUID, EndpointQueue] = {}

    @property
    def has_free(self) -> bool:
        """Return True if one more attempt to a slow endpoint may start."""
        return len(self._in_flight) < self._limit

    def take(self, delivery_ids: Iterable[int]) -> None:
        """Count deliveries in flight as slow; their number may exceed the limit."""
        self._in_flight.update(delivery_ids)

    def give_back(self, delivery_ids: Iterable[int]) -> None:
        """Count deliveries as slow no more."""
        self._in_flight.difference_update(delivery_ids)

    def is_held_by(self, delivery_id: int) -> bool:
        """Return True if a delivery in flight counts as slow."""
        return delivery_id in self._in_flight

    def wait(self, queue: EndpointQueue) -> None:
        """Let a queue wait for a slot."""
        queue.has_turn = True
        self._waiting[queue.endpoint_id] = queue

    def stop_waiting(self, queue: EndpointQueue) -> bool:
        """Remove a queue from those that wait; return False if it does not wait."""
        if self._waiting.pop(queue.endpoint_id, None) is None:
            return False
        queue.has_turn = False
        return True

    def next_waiting(self) -> EndpointQueue | None:
        """Return the queue that has waited longest, None if none waits."""
        return next(iter(self._waiting.values()), None)
