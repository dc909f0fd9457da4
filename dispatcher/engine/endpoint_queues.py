"""Keep one queue per endpoint, so that a slow or dead endpoint delays only its own deliveries.

Start order is round robin over environments, then over the endpoints of each. Slow endpoints share
a limited number of slots, so that many of them cannot use all concurrency. Pure: times are
arguments (epoch seconds), and nothing here waits. A `EndpointQueue` is the queue of one endpoint.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from math import inf
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.slots import Slots

SHORT = 32
"""Deliveries per queue while memory is full, so that other endpoints still get some."""
SHORTEST = 4
SHORT_IN_ALL = 40_000
"""Deliveries in all queues while memory is full: with very many queues, each may hold fewer."""
SLOW = 1.0
"""Seconds: an endpoint is slow if an answer takes at least this long."""
PROBES = 4
"""Requests in flight to an endpoint until its first answer shows whether it is slow."""
CATCH_UP = 0.02
"""Seconds a rate limit may catch up, as timers fire late. Otherwise the rate would be too low."""


@dataclass(slots=True, eq=False)
class EndpointQueue:
    """The queue of one endpoint: its due deliveries, and its limits.

    `holding`: the endpoint is not active, so the queue starts nothing and accepts nothing.
    `ordered`: one delivery at a time, until it is recorded; the head blocks the rest.
    `flying`: ids of deliveries in flight, which count for `limit`. `unsettled`: ids of deliveries
    taken and not recorded. Both are sets, as `ordered` may change while deliveries are in flight.
    `slow`: None before the first answer, then whether the last answer was slow or is overdue.
    `waits_since`: the start of the first request after the last answer, infinity if none.
    `interval`: mean seconds between two starts, 0 without rate limit; `ready_at`: the next start.
    `ringed`: the queue is in the round robin, or waits for a slow slot. `alarm`: its next timer.
    """

    endpoint_id: UUID
    environment_id: str
    limit: int
    holding: bool = False
    ordered: bool = False
    paused_until: float = 0.0
    told: float = 0.0
    """The end of the pause stored in the table, which gets this daemon's own pauses later."""
    interval: float = 0.0
    ready_at: float = 0.0
    slow: bool | None = None
    waits_since: float = inf
    ringed: bool = False
    alarm: float = inf
    flying: set[int] = field(default_factory=set)
    unsettled: set[int] = field(default_factory=set)
    queue: deque[Delivery] = field(default_factory=deque)

    def blocked_until(self) -> float:
        """Return when the head may start: after a pause, the rate limit, an ordered head's time.

        Before the first answer, at most PROBES requests start until SLOW seconds have passed.
        """
        until = max(self.paused_until, self.ready_at) if self.interval else self.paused_until
        if self.ordered and self.queue:
            until = max(until, self.queue[0].next_at)
        if self.slow is None and len(self.flying) >= PROBES:
            until = max(until, self.waits_since + SLOW)
        return until


class EndpointQueues:
    """The endpoint queues of a daemon.

    `depth` bounds the waiting deliveries of one queue, SHORT does while `crowded` (memory is full).
    `places` bounds all requests in flight, `slow` those to slow endpoints.
    """

    def __init__(self, depth: int, *, places: int = 256, slow: int = 128) -> None:
        self._depth = depth
        self._places = Slots(places)
        self._slow_places = max(1, slow)
        self.is_memory_full = False
        # A queue is in its environment's ring if it may start something, in the alarm heap if it
        # waits for a time, in `_standing_by` if it waits for a slow slot. Otherwise an event, such
        # as an answer, puts it back into the ring. For `_full` see Slots.
        self._queues: dict[UUID, EndpointQueue] = {}
        self._rings: dict[str, deque[EndpointQueue]] = {}
        self._turns: deque[deque[EndpointQueue]] = deque()
        self._full: list[deque[EndpointQueue]] = []
        self._standing_by: dict[UUID, EndpointQueue] = {}
        self._slow: set[int] = set()
        self._alarms: list[tuple[float, int, EndpointQueue]] = []
        self._order = count()

    def __repr__(self) -> str:
        waiting = sum(len(lane.queue) for lane in self._queues.values())
        flying = sum(len(lane.flying) for lane in self._queues.values())
        return f"<EndpointQueues {len(self._queues)}: {waiting} waiting, {flying} in flight>"

    @property
    def depth(self) -> int:
        if not self.is_memory_full:
            return self._depth
        share = SHORT_IN_ALL // max(1, len(self._queues))
        return min(self._depth, SHORT, max(SHORTEST, share))

    def __getitem__(self, endpoint_id: UUID) -> EndpointQueue:
        return self._queues[endpoint_id]

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
        """Open or change a queue; return the waiting deliveries, removed, if it is `holding`.

        `paused_until` is the pause in the table: an earlier one than before ends a longer pause.
        `interval`: seconds between two starts, 0 for no limit.
        """
        lane = self._queues.get(endpoint_id)
        if lane is None:
            lane = self._queues[endpoint_id] = EndpointQueue(endpoint_id, environment_id, limit)
            self._places.open_lane(environment_id)
        lane.interval = interval
        lane.limit, lane.holding, lane.ordered = limit, holding, ordered
        if holding or paused_until < lane.told:
            lane.paused_until = paused_until
        lane.paused_until = max(lane.paused_until, paused_until)
        lane.told = paused_until
        if holding:
            return self.empty(endpoint_id)
        self._ring_up(lane)
        return []

    def empty(self, endpoint_id: UUID) -> list[Delivery]:
        """Remove and return all waiting deliveries of a queue."""
        lane = self._queues[endpoint_id]
        waiting, lane.queue = list(lane.queue), deque()
        return waiting

    def replace_waiting(
        self, endpoint_id: UUID, changed: Mapping[int, Delivery | None]
    ) -> set[int]:
        """Replace waiting deliveries in their places, remove those that are None; return the ids.

        Only ids of deliveries that were waiting are returned.
        """
        lane = self._queues[endpoint_id]
        waited = {d.id for d in lane.queue if d.id in changed}
        if waited:
            now = (changed.get(delivery.id, delivery) for delivery in lane.queue)
            lane.queue = deque(delivery for delivery in now if delivery is not None)
            self._ring_up(lane)
        return waited

    def is_under_way(self, endpoint_id: UUID, delivery_id: int) -> bool:
        """Return True if the delivery was taken and its attempt is not recorded yet."""
        lane = self._queues.get(endpoint_id)
        return lane is not None and delivery_id in lane.unsettled

    def is_paused(self, endpoint_id: UUID) -> bool:
        lane = self._queues.get(endpoint_id)
        return lane is not None and lane.holding

    def close(self, endpoint_id: UUID) -> bool:
        """Remove an empty queue; return False if it has deliveries waiting or unrecorded."""
        lane = self._queues[endpoint_id]
        if lane.queue or lane.unsettled:
            return False
        del self._queues[endpoint_id]
        self._places.close_lane(lane.environment_id)
        self._standing_by.pop(endpoint_id, None)
        return True

    def offer(self, delivery: Delivery) -> bool:
        """Append a due delivery to its queue; return False if the queue is full or holding."""
        lane = self._queues[delivery.endpoint_id]
        if lane.holding or len(lane.queue) >= self.depth:
            return False
        lane.queue.append(delivery)
        self._ring_up(lane)
        return True

    def put_first(self, delivery: Delivery) -> bool:
        """Put a delivery at the head of its queue, even a full one; return False if holding."""
        lane = self._queues[delivery.endpoint_id]
        if lane.holding:
            return False
        lane.queue.appendleft(delivery)
        self._ring_up(lane)
        return True

    def take(self, now: float) -> Delivery | None:
        """Return the next delivery to start, None if there is none; it counts as in flight now."""
        while self._alarms and self._alarms[0][0] <= now:
            at, _, alarmed = heappop(self._alarms)
            if at == alarmed.alarm:
                alarmed.alarm = inf
            self._ring_up(alarmed)
        self._turns.extend(self._full)
        self._full.clear()
        while self._turns or self._call_next():
            lane = self._next_in_turn()
            if lane is None or lane.holding or not lane.queue or len(lane.flying) >= lane.limit:
                continue
            if now - lane.waits_since >= SLOW:
                self._find_slow(lane)
            until = lane.blocked_until()
            if until > now:
                self._set_alarm(lane, until)
            elif lane.slow and len(self._slow) >= self._slow_places:
                lane.ringed = True
                self._standing_by[lane.endpoint_id] = lane
            else:
                return self._start(lane, now)
        return None

    def upcoming(self, endpoint_id: UUID) -> Iterator[int]:
        """Return the event ids of the waiting deliveries, in the order of the queue."""
        return (delivery.event_id for delivery in self._queues[endpoint_id].queue)

    def finish_attempt(self, delivery: Delivery, took: float | None = None) -> None:
        """Note that the attempt ended after `took` seconds (None: unknown).

        The slot is free now, but in an ordered queue only after the attempt is recorded.
        """
        lane = self._queues[delivery.endpoint_id]
        if took is not None:
            if took >= SLOW:
                self._find_slow(lane)
            elif lane.slow is not False:
                self._find_quick(lane)
        if not lane.ordered:
            self._free(lane, delivery)

    def confirm_recorded(self, delivery: Delivery) -> None:
        """Note that the attempt is recorded, or was not made."""
        lane = self._queues[delivery.endpoint_id]
        lane.unsettled.discard(delivery.id)
        self._free(lane, delivery)

    def pause(self, endpoint_id: UUID, until: float) -> None:
        """Start nothing before `until`; a longer pause stays."""
        lane = self._queues[endpoint_id]
        lane.paused_until = max(lane.paused_until, until)

    def room(self, endpoint_id: UUID) -> int:
        lane = self._queues[endpoint_id]
        return 0 if lane.holding else max(0, self.depth - len(lane.queue))

    def endpoints_without_room(self, coming: int) -> list[UUID]:
        """Return the endpoints without room for `coming` more deliveries.

        Their rows are made parked, which is free; parking a row afterwards costs a statement.
        """
        most = self.depth - min(coming, self.depth // 2)
        return [i for i, lane in self._queues.items() if lane.holding or len(lane.queue) >= most]

    def next_alarm(self) -> float | None:
        return self._alarms[0][0] if self._alarms else None

    def drop_shards(self, keep: frozenset[int]) -> list[Delivery]:
        """Remove and return the waiting deliveries of all other shards."""
        dropped: list[Delivery] = []
        for lane in self._queues.values():
            if any(d.shard not in keep for d in lane.queue):
                dropped += (d for d in lane.queue if d.shard not in keep)
                lane.queue = deque(d for d in lane.queue if d.shard in keep)
        return dropped

    def set_back(self, seconds: float) -> None:
        """Move all times back by `seconds`, as the clock was."""
        for lane in self._queues.values():
            lane.paused_until -= seconds
            lane.ready_at -= seconds
            lane.waits_since -= seconds
            lane.alarm -= seconds
            lane.queue = deque(replace(d, next_at=d.next_at - seconds) for d in lane.queue)
        self._alarms = [(at - seconds, order, lane) for at, order, lane in self._alarms]

    def _next_in_turn(self) -> EndpointQueue | None:
        ring = self._turns.popleft()
        if self._places.has_share(ring[0].environment_id):
            self._full.append(ring)
            return None
        lane = ring.popleft()
        lane.ringed = False
        if ring:
            self._turns.append(ring)
        else:
            del self._rings[lane.environment_id]
        return lane

    def _start(self, lane: EndpointQueue, now: float) -> Delivery:
        delivery = lane.queue.popleft()
        lane.flying.add(delivery.id)
        self._places.take(lane.environment_id)
        lane.unsettled.add(delivery.id)
        lane.waits_since = min(lane.waits_since, now)
        if lane.interval:
            lane.ready_at = max(lane.ready_at, now - CATCH_UP) + lane.interval
        if lane.slow:
            self._slow.add(delivery.id)
        self._ring_up(lane)
        return delivery

    def _free(self, lane: EndpointQueue, delivery: Delivery) -> None:
        if delivery.id in lane.flying:
            lane.flying.remove(delivery.id)
            self._places.give_back(lane.environment_id)
            lane.waits_since = inf
            if delivery.id in self._slow:
                self._slow.remove(delivery.id)
                if self._standing_by:
                    self._call(next(iter(self._standing_by.values())))
        self._ring_up(lane)

    def _find_slow(self, lane: EndpointQueue) -> None:
        if not lane.slow:
            lane.slow = True
            self._slow |= lane.flying

    def _find_quick(self, lane: EndpointQueue) -> None:
        lane.slow = False
        self._slow -= lane.flying
        self._call(lane)

    def _call_next(self) -> bool:
        """Move a queue that waits for a slow slot to the ring; return True if the ring has one."""
        while self._standing_by and len(self._slow) < self._slow_places and not self._turns:
            self._call(next(iter(self._standing_by.values())))
        return bool(self._turns)

    def _call(self, lane: EndpointQueue) -> None:
        if self._standing_by.pop(lane.endpoint_id, None):
            lane.ringed = False
            self._ring_up(lane)

    def _set_alarm(self, lane: EndpointQueue, until: float) -> None:
        if until < lane.alarm:  # an earlier alarm finds the queue blocked and sets the next one
            lane.alarm = until
            heappush(self._alarms, (until, next(self._order), lane))

    def _ring_up(self, lane: EndpointQueue) -> None:
        if not lane.ringed and lane.queue and len(lane.flying) < lane.limit and not lane.holding:
            lane.ringed = True
            ring = self._rings.get(lane.environment_id)
            if ring is None:
                ring = self._rings[lane.environment_id] = deque()
                self._turns.append(ring)
            ring.append(lane)
