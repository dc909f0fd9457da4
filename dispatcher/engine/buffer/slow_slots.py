"""Bound the attempts in flight to slow endpoints, so that those cannot use all slots. Pure."""

from collections.abc import Iterable

from dispatcher.engine.buffer.endpoint_queue import EndpointQueue, EnvironmentShare
from dispatcher.engine.buffer.slots import HELD_PER_FREE, Slots

LIMIT_PER_EXTRA = 16
"""Slow slots for each extra one. Extra ones are for environments that hold no slow slot."""


class SlowSlots:
    """The slots for slow endpoints, `limit` in all, and the queues that wait for one.

    The fewer of them are free, the fewer an environment may hold, unless it is alone (`slots`).
    If none is free, because many endpoints became slow at once, environments that hold none may
    take a few extra slots. Of the environments that wait, the one that holds the fewest gets a free
    slot, and in it the queue that has waited longest.
    """

    def __init__(self, limit: int, slots: Slots) -> None:
        self._limit = limit
        self._extra_limit = max(1, limit // LIMIT_PER_EXTRA)
        self._slots = slots
        self._holders: dict[int, EnvironmentShare] = {}
        self._extra: set[int] = set()
        self._waiting: dict[str, EnvironmentShare] = {}
        self._is_worth_a_look = False

    def has_free(self, environment: EnvironmentShare) -> bool:
        """Return True if the environment may start one more attempt to a slow endpoint."""
        free = self._limit - len(self._holders)
        if free <= 0:
            return not environment.held_slow and len(self._extra) < self._extra_limit
        return not self._slots.are_shared or environment.held_slow < HELD_PER_FREE * free

    def start(self, delivery_id: int, environment: EnvironmentShare) -> None:
        """Count an attempt that starts, after `has_free`."""
        if len(self._holders) >= self._limit:
            self._extra.add(delivery_id)
        self.take((delivery_id,), environment)

    def take(self, delivery_ids: Iterable[int], environment: EnvironmentShare) -> None:
        """Count deliveries in flight as slow; their number may exceed the limit."""
        for delivery_id in delivery_ids:
            if delivery_id not in self._holders:
                self._holders[delivery_id] = environment
                environment.held_slow += 1

    def give_back(self, delivery_ids: Iterable[int]) -> None:
        """Count deliveries as slow no more."""
        for delivery_id in delivery_ids:
            environment = self._holders.pop(delivery_id, None)
            if environment is not None:
                environment.held_slow -= 1
                self._extra.discard(delivery_id)
                self._is_worth_a_look = True

    def is_held_by(self, delivery_id: int) -> bool:
        """Return True if a delivery in flight counts as slow."""
        return delivery_id in self._holders

    def wait(self, queue: EndpointQueue) -> None:
        """Let a queue wait for a slot, until `stop_waiting`."""
        queue.has_turn = True
        environment = queue.environment
        environment.waiting_slow[queue.endpoint_id] = queue
        self._waiting.setdefault(environment.id, environment)

    def stop_waiting(self, queue: EndpointQueue) -> bool:
        """Remove a queue from those that wait; return False if it does not wait."""
        environment = queue.environment
        if environment.waiting_slow.pop(queue.endpoint_id, None) is None:
            return False
        queue.has_turn = False
        self._is_worth_a_look = True
        del self._waiting[environment.id]
        if environment.waiting_slow:  # behind the others that hold as many
            self._waiting[environment.id] = environment
        return True

    def next_waiting(self) -> EndpointQueue | None:
        """Return the queue whose turn it is, None if no slot is free for any that waits."""
        if not self._is_worth_a_look or not self._waiting:
            return None
        environment = min(self._waiting.values(), key=_held_slow)
        if not self.has_free(environment):  # nor has any other, as it holds the fewest
            self._is_worth_a_look = False
            return None
        return next(iter(environment.waiting_slow.values()))


def _held_slow(environment: EnvironmentShare) -> int:
    return environment.held_slow
