"""Queue due deliveries by endpoint, so that one endpoint cannot hold up others.

Environments take turns, and in each environment its endpoints. Each queue is bounded, and has its
own limit of attempts in flight; a rest or a rate limit stops only that queue. Slow endpoints
share a limited number of slots, so that many of them cannot use all concurrency. Pure: times are
arguments (epoch seconds), and nothing here waits.
"""

from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from math import inf
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.endpoint_queue import SLOW_SECONDS, EndpointQueue, QueueSettings
from dispatcher.engine.buffer.round_robin import RoundRobin
from dispatcher.engine.buffer.slots import Slots
from dispatcher.engine.buffer.slow_slots import SlowSlots

SHORT_DEPTH = 32
"""Deliveries per queue while memory is full, so that other endpoints still get some."""
SHORTEST_DEPTH = 4
SHORT_TOTAL = 40_000
"""Deliveries in all queues while memory is full: with very many queues, each may hold fewer."""

REFILL_LIMIT = 4_000
"""Most new rows of an endpoint that are read at once. More would hold the event loop too long."""


class EndpointQueues:
    """The endpoint queues of a daemon.

    `depth` bounds the waiting deliveries of one queue, SHORT_DEPTH does while `is_memory_full`.
    With much free memory a queue may be deeper: up to `share` of the deliveries that still fit
    (see `count_memory_by`). `slots` is how many attempts the deliverer has in flight at most:
    environments share this number. `slow_slots` bounds those to slow endpoints.
    """

    def __init__(
        self, depth: int, share: float = 0.0, *, slots: int = 256, slow_slots: int = 128
    ) -> None:
        self._depth = depth
        self._share = share
        self._free_memory: Callable[[], int] = _unlimited
        self._slots = Slots(slots)
        self._slow_slots = SlowSlots(max(1, slow_slots), self._slots)
        # A queue is in the round robin if it may start something, in the alarm heap if it waits
        # for a time, in `_slow_slots` if it waits for a slow slot. Otherwise an event, such as an
        # answer, puts it back into the round robin.
        self._queues: dict[UUID, EndpointQueue] = {}
        self._round_robin = RoundRobin(self._slots)
        self._alarms: list[tuple[float, int, EndpointQueue]] = []
        self._alarm_order = count()

    def __repr__(self) -> str:
        waiting = sum(len(queue.waiting) for queue in self._queues.values())
        in_flight = sum(len(queue.in_flight) for queue in self._queues.values())
        return f"<EndpointQueues {len(self._queues)}: {waiting} waiting, {in_flight} in flight>"

    def __getitem__(self, endpoint_id: UUID) -> EndpointQueue:
        return self._queues[endpoint_id]

    # Settings

    def configure(self, endpoint_id: UUID, settings: QueueSettings) -> list[Delivery]:
        """Open or change a queue; if it is stopped, remove and return its waiting deliveries."""
        queue = self._queues.get(endpoint_id)
        if queue is None:
            environment = self._slots.add_queue(settings.environment_id)
            is_slow = True if settings.is_failing else None
            queue = EndpointQueue(endpoint_id, environment, settings, is_slow=is_slow)
            self._queues[endpoint_id] = queue
        queue.configure(settings)
        if settings.is_stopped:
            return queue.remove_waiting()
        self._give_turn(queue)
        return []

    def rest(self, endpoint_id: UUID, until: float) -> None:
        """Start nothing before `until`; a longer rest stays."""
        queue = self._queues[endpoint_id]
        queue.resting_until = max(queue.resting_until, until)

    def is_stopped(self, endpoint_id: UUID) -> bool:
        """Return True if the queue accepts nothing; False also if there is no such queue."""
        queue = self._queues.get(endpoint_id)
        return queue is not None and queue.settings.is_stopped

    def ordered(self) -> list[UUID]:
        """Return the endpoints that get one delivery at a time."""
        return [id_ for id_, queue in self._queues.items() if queue.settings.is_ordered]

    def is_ordered(self, endpoint_id: UUID) -> bool:
        """Return True if the endpoint gets one delivery at a time."""
        return self._queues[endpoint_id].settings.is_ordered

    def close(self, endpoint_id: UUID) -> bool:
        """Remove an empty queue; return False if it has deliveries waiting or unrecorded."""
        queue = self._queues[endpoint_id]
        if queue.waiting or queue.unrecorded:
            return False
        del self._queues[endpoint_id]
        self._slots.remove_queue(queue.environment)
        self._slow_slots.stop_waiting(queue)
        return True

    def share_slots(self, are_shared: bool) -> None:
        """Set whether slots are kept free for environments whose endpoints are not known yet."""
        self._slots.share(are_shared)

    # Room

    def count_memory_by(self, free_memory: Callable[[], int]) -> None:
        """Let `free_memory()` say how many more deliveries fit into memory; 0 or less if full."""
        self._free_memory = free_memory

    @property
    def is_memory_full(self) -> bool:
        """Return True if no more deliveries fit into memory."""
        return self._free_memory() <= 0

    @property
    def depth(self) -> int:
        """Return how many deliveries may wait in one queue."""
        free = self._free_memory()
        if free > 0:
            return max(self._depth, int(free * self._share))
        share = SHORT_TOTAL // max(1, len(self._queues))
        return min(self._depth, SHORT_DEPTH, max(SHORTEST_DEPTH, share))

    @property
    def refill_depth(self) -> int:
        """Return the number of waiting deliveries below which a queue's parked rows are read."""
        depth = min(self._depth, self.depth)
        return depth - depth // 2

    def count_waiting(self, endpoint_id: UUID) -> int:
        """Return how many deliveries wait in the queue."""
        return len(self._queues[endpoint_id].waiting)

    def room(self, endpoint_id: UUID) -> int:
        """Return how many more deliveries the queue accepts."""
        queue = self._queues[endpoint_id]
        return 0 if queue.settings.is_stopped else max(0, self.depth - len(queue.waiting))

    def count_in_memory(self, endpoint_id: UUID) -> int:
        """Return how many deliveries of the endpoint wait, are in flight or are unrecorded."""
        queue = self._queues[endpoint_id]
        return len(queue.waiting) + len(queue.unrecorded)

    def endpoints_without_room(self, coming: int) -> list[UUID]:
        """Return the endpoints without room for `coming` more deliveries.

        A queue that is less than half full always has room enough. The rows of the others are made
        parked, which is free; parking a row afterwards costs a statement.
        """
        depth_left = self.depth - min(coming, self.depth // 2)
        return [
            endpoint_id
            for endpoint_id, queue in self._queues.items()
            if queue.settings.is_stopped or len(queue.waiting) >= depth_left
        ]

    # Waiting deliveries

    def offer(self, delivery: Delivery) -> bool:
        """Append a due delivery to its queue; return False if the queue is full or stopped."""
        queue = self._queues[delivery.endpoint_id]
        if queue.settings.is_stopped or len(queue.waiting) >= self.depth:
            return False
        queue.waiting.append(delivery)
        self._give_turn(queue)
        return True

    def put_first(self, delivery: Delivery) -> bool:
        """Put a delivery at the head of its queue, even a full one; return False if stopped."""
        queue = self._queues[delivery.endpoint_id]
        if queue.settings.is_stopped:
            return False
        queue.waiting.appendleft(delivery)
        self._give_turn(queue)
        return True

    def empty(self, endpoint_id: UUID) -> list[Delivery]:
        """Remove and return all waiting deliveries of a queue."""
        return self._queues[endpoint_id].remove_waiting()

    def replace_waiting(
        self, endpoint_id: UUID, changes: Mapping[int, Delivery | None]
    ) -> set[int]:
        """Replace waiting deliveries by those in `changes`, in their places; None removes one.

        Return the ids in `changes` that were waiting.
        """
        queue = self._queues[endpoint_id]
        replaced = queue.replace_waiting(changes)
        if replaced:
            self._give_turn(queue)
        return replaced

    def next_events(self, endpoint_id: UUID) -> Iterator[int]:
        """Return the event ids of the waiting deliveries, in the order of the queue."""
        return (delivery.event_id for delivery in self._queues[endpoint_id].waiting)

    def drop_other_shards(self, shards: frozenset[int]) -> list[Delivery]:
        """Remove and return the waiting deliveries whose shard is not in `shards`."""
        return [d for queue in self._queues.values() for d in queue.remove_other_shards(shards)]

    def set_back(self, seconds: float) -> None:
        """Move all times back by `seconds`, as the clock was."""
        for queue in self._queues.values():
            queue.set_back(seconds)
        self._alarms = [(at - seconds, order, queue) for at, order, queue in self._alarms]

    # Attempts

    def take(self, now: float) -> Delivery | None:
        """Return the next delivery to start, None if there is none; it is in flight from now on."""
        self._pass_alarms(now)
        self._round_robin.restart()
        while True:
            queue = self._round_robin.next()
            if queue is None:
                if not self._resume_waiting():
                    return None
                continue
            if not queue.can_start():
                continue
            if now - queue.oldest_start() >= SLOW_SECONDS:
                self._mark_slow(queue, now)
            blocked_until = queue.blocked_until()
            if blocked_until > now:
                self._set_alarm(queue, blocked_until)
            elif queue.is_slow and not self._slow_slots.has_free(queue.environment):
                self._slow_slots.wait(queue)
            else:
                return self._start(queue, now)

    def is_under_way(self, endpoint_id: UUID, delivery_id: int) -> bool:
        """Return True if the delivery was taken and its attempt is not recorded yet."""
        queue = self._queues.get(endpoint_id)
        return queue is not None and delivery_id in queue.unrecorded

    def finish_attempt(self, delivery: Delivery, seconds: float | None = None) -> None:
        """Note that the attempt ended after `seconds` (None: unknown).

        The slot is free now, but in an ordered queue only after the attempt is recorded.
        """
        queue = self._queues[delivery.endpoint_id]
        if seconds is not None and (seconds >= SLOW_SECONDS or queue.is_slow is not False):
            self._note_answer(queue, delivery.id, seconds)
        if not queue.settings.is_ordered:
            self._free_slot(queue, delivery)

    def release(self, delivery: Delivery) -> None:
        """Release a delivery that was taken: its attempt is recorded, or was not made."""
        queue = self._queues[delivery.endpoint_id]
        queue.unrecorded.discard(delivery.id)
        self._free_slot(queue, delivery)

    def next_alarm(self) -> float | None:
        """Return the earliest time for which a queue waits, None if none waits for a time."""
        return self._alarms[0][0] if self._alarms else None

    # Turns

    def _give_turn(self, queue: EndpointQueue) -> None:
        """Give the queue a turn if it can start something and has none yet."""
        if not queue.has_turn and queue.can_start():
            self._round_robin.add(queue)

    def _resume_waiting(self) -> bool:
        """Resume queues that wait for a slow slot until one has a turn; return False if none."""
        while not self._round_robin.has_turns:
            queue = self._slow_slots.next_waiting()
            if queue is None:
                return False
            self._resume(queue)
        return True

    def _resume(self, queue: EndpointQueue) -> None:
        if self._slow_slots.stop_waiting(queue):
            self._give_turn(queue)

    def _start(self, queue: EndpointQueue, now: float) -> Delivery:
        delivery = queue.start(now)
        self._slots.take(queue.environment)
        if queue.is_slow:
            self._slow_slots.start(delivery.id, queue.environment)
        self._give_turn(queue)
        return delivery

    def _free_slot(self, queue: EndpointQueue, delivery: Delivery) -> None:
        if delivery.id not in queue.in_flight:
            return
        del queue.in_flight[delivery.id]
        self._slots.give_back(queue.environment)
        if self._slow_slots.is_held_by(delivery.id):
            self._slow_slots.give_back((delivery.id,))
            waiting = self._slow_slots.next_waiting()
            if waiting is not None:
                self._resume(waiting)
        self._give_turn(queue)

    def _note_answer(self, queue: EndpointQueue, delivery_id: int, seconds: float) -> None:
        now = queue.in_flight.get(delivery_id, 0.0) + seconds
        if seconds >= SLOW_SECONDS:
            self._mark_slow(queue, now)
        elif queue.may_be_quick(now):
            self._mark_quick(queue)

    def _mark_slow(self, queue: EndpointQueue, now: float) -> None:
        queue.late_at = now
        if not queue.is_slow:
            queue.is_slow = True
            self._slow_slots.take(queue.in_flight, queue.environment)

    def _mark_quick(self, queue: EndpointQueue) -> None:
        queue.is_slow = False
        self._slow_slots.give_back(queue.in_flight)
        self._resume(queue)
        for _ in queue.in_flight:  # each may have given back a slow slot
            waiting = self._slow_slots.next_waiting()
            if waiting is None:
                break
            self._resume(waiting)

    def _set_alarm(self, queue: EndpointQueue, at: float) -> None:
        # An alarm that is earlier finds the queue blocked, and sets the next one.
        if at < queue.alarm_at:
            queue.alarm_at = at
            heappush(self._alarms, (at, next(self._alarm_order), queue))

    def _pass_alarms(self, now: float) -> None:
        """Give a turn to all queues whose time has come."""
        while self._alarms and self._alarms[0][0] <= now:
            at, _, queue = heappop(self._alarms)
            if at == queue.alarm_at:
                queue.alarm_at = inf
            self._give_turn(queue)


def _unlimited() -> int:
    """Return 1: without a count, memory is never full, and no queue is deeper than `depth`."""
    return 1
