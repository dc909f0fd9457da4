"""One lane an endpoint: a slow, dead or busy one holds up its own lane only.

Environments take turns, and within each its endpoints. Those that are slow to answer share some of
the places of requests under way, so that however many there are, the others find one. Pure: times
are arguments (epoch seconds), and nothing here waits.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from math import inf
from uuid import UUID

from dispatcher.core.model import Delivery

SHORT = 32
"""Deliveries a lane may hold while memory is full: so that those of others still find a place."""
SHORTEST = 4
SHORT_IN_ALL = 40_000
"""Deliveries that lanes may then hold together: with very many of them, each may hold fewer."""
SLOW = 1.0
"""Seconds from which an answer is slow."""
PROBES = 4
"""Requests under way to an endpoint of which it is not known yet whether it is slow."""
CATCH_UP = 0.02
"""Seconds of a rate limit that may be made up for: clocks and timers ring late."""


@dataclass(slots=True, eq=False)
class Lane:
    """What is due to one endpoint, and how much of it may be under way at once.

    `holding`: nothing starts and nothing is accepted (the endpoint is not active). An `ordered`
    lane has one delivery under way until that one is settled, and its head blocks the rest.
    `flying` are the ids of the deliveries that take up its limit, `unsettled` those taken and not
    yet settled: sets, for a lane may become ordered, or cease to be, with deliveries under way.
    It is `slow` after a slow answer, or none: None, when there was no answer yet. `waits_since` is
    when the first request after the last answer was started. Between two starts are `interval`
    seconds on average; the next is at `ready_at`.
    """

    endpoint_id: UUID
    environment_id: str
    limit: int
    holding: bool = False
    ordered: bool = False
    paused_until: float = 0.0
    told: float = 0.0
    """The end of a rest according to the table, which learns of our own rests a little later."""
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
        """When the head may start: the end of a pause, its turn by the rate limit, or an ordered
        head's own time; and before it is known whether the endpoint is slow, no more than some."""
        until = max(self.paused_until, self.ready_at) if self.interval else self.paused_until
        if self.ordered and self.queue:
            until = max(until, self.queue[0].next_at)
        if self.slow is None and len(self.flying) >= PROBES:
            until = max(until, self.waits_since + SLOW)
        return until


class Lanes:
    """All lanes of a daemon. `depth` bounds the deliveries waiting in one lane, SHORT does while
    `crowded`; `slow` those under way to slow endpoints."""

    def __init__(self, depth: int, *, slow: int = 128) -> None:
        self._depth = depth
        self._slow_places = max(1, slow)
        self.crowded = False
        # Mutable state: every lane is in its environment's ring when it may have something to
        # start, in the alarm heap when it must wait for a time, stands by when it must wait for a
        # place of the slow ones, and in none when an event will bring it back.
        self._lanes: dict[UUID, Lane] = {}
        self._rings: dict[str, deque[Lane]] = {}
        self._turns: deque[deque[Lane]] = deque()
        self._standing_by: dict[UUID, Lane] = {}
        self._slow: set[int] = set()
        self._alarms: list[tuple[float, int, Lane]] = []
        self._order = count()

    def __repr__(self) -> str:
        waiting = sum(len(lane.queue) for lane in self._lanes.values())
        flying = sum(len(lane.flying) for lane in self._lanes.values())
        return f"<Lanes {len(self._lanes)}: {waiting} waiting, {flying} in flight>"

    @property
    def depth(self) -> int:
        if not self.crowded:
            return self._depth
        share = SHORT_IN_ALL // max(1, len(self._lanes))
        return min(self._depth, SHORT, max(SHORTEST, share))

    def __getitem__(self, endpoint_id: UUID) -> Lane:
        return self._lanes[endpoint_id]

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
        """Open a lane or change it; returns the waiting deliveries a holding lane must let go.

        `paused_until` is what the table says. As long as that stays the same, so does the pause.
        `interval`: seconds between two starts, 0 for no limit.
        """
        lane = self._lanes.setdefault(endpoint_id, Lane(endpoint_id, environment_id, limit))
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
        """Let go of everything that waits in a lane."""
        lane = self._lanes[endpoint_id]
        waiting, lane.queue = list(lane.queue), deque()
        return waiting

    def amend(self, endpoint_id: UUID, changed: Mapping[int, Delivery | None]) -> set[int]:
        """Waiting deliveries become what they are now, in their places; None: gone. Returns the ids
        of those that waited."""
        lane = self._lanes[endpoint_id]
        waited = {d.id for d in lane.queue if d.id in changed}
        if waited:
            now = (changed.get(delivery.id, delivery) for delivery in lane.queue)
            lane.queue = deque(delivery for delivery in now if delivery is not None)
            self._ring_up(lane)
        return waited

    def under_way(self, endpoint_id: UUID, delivery_id: int) -> bool:
        """Whether it was taken and is not settled yet."""
        lane = self._lanes.get(endpoint_id)
        return lane is not None and delivery_id in lane.unsettled

    def holds(self, endpoint_id: UUID) -> bool:
        lane = self._lanes.get(endpoint_id)
        return lane is not None and lane.holding

    def close(self, endpoint_id: UUID) -> bool:
        """Forget a lane with nothing in it; False when there is something."""
        lane = self._lanes[endpoint_id]
        if lane.queue or lane.unsettled:
            return False
        del self._lanes[endpoint_id]
        self._standing_by.pop(endpoint_id, None)
        return True

    def offer(self, delivery: Delivery) -> bool:
        """Put a due delivery at the end of its lane; False when the lane is full or holding."""
        lane = self._lanes[delivery.endpoint_id]
        if lane.holding or len(lane.queue) >= self.depth:
            return False
        lane.queue.append(delivery)
        self._ring_up(lane)
        return True

    def put_first(self, delivery: Delivery) -> bool:
        """Put a delivery back at the head of its lane, whatever its depth; False when holding."""
        lane = self._lanes[delivery.endpoint_id]
        if lane.holding:
            return False
        lane.queue.appendleft(delivery)
        self._ring_up(lane)
        return True

    def take(self, now: float) -> Delivery | None:
        """The next delivery to start, counted as in flight from here on."""
        while self._alarms and self._alarms[0][0] <= now:
            at, _, lane = heappop(self._alarms)
            if at == lane.alarm:
                lane.alarm = inf
            self._ring_up(lane)
        while self._turns or self._call_next():
            lane = self._next_in_turn()
            if lane.holding or not lane.queue or len(lane.flying) >= lane.limit:
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
        """The events that wait in a lane, in its order."""
        return (delivery.event_id for delivery in self._lanes[endpoint_id].queue)

    def land(self, delivery: Delivery, took: float | None = None) -> None:
        """Its attempt is over after so many seconds, and its place free. In an ordered lane, not
        before it is settled."""
        lane = self._lanes[delivery.endpoint_id]
        if took is not None:
            if took >= SLOW:
                self._find_slow(lane)
            elif lane.slow is not False:
                self._find_quick(lane)
        if not lane.ordered:
            self._free(lane, delivery)

    def settle(self, delivery: Delivery) -> None:
        """Its attempt is recorded, or was not made."""
        lane = self._lanes[delivery.endpoint_id]
        lane.unsettled.discard(delivery.id)
        self._free(lane, delivery)

    def pause(self, endpoint_id: UUID, until: float) -> None:
        """Start nothing before `until`, unless a longer pause is in force already."""
        lane = self._lanes[endpoint_id]
        lane.paused_until = max(lane.paused_until, until)

    def room(self, endpoint_id: UUID) -> int:
        lane = self._lanes[endpoint_id]
        return 0 if lane.holding else max(0, self.depth - len(lane.queue))

    def saturated(self, coming: int) -> list[UUID]:
        """Endpoints without room for so many: what they are owed is better left in the table,
        where it costs nothing to make a row parked, and much to park it afterwards."""
        most = self.depth - min(coming, self.depth // 2)
        return [i for i, lane in self._lanes.items() if lane.holding or len(lane.queue) >= most]

    def next_alarm(self) -> float | None:
        return self._alarms[0][0] if self._alarms else None

    def drop_shards(self, keep: frozenset[int]) -> list[Delivery]:
        """Let go of what waits in lanes and belongs to other shards than these."""
        dropped: list[Delivery] = []
        for lane in self._lanes.values():
            if any(d.shard not in keep for d in lane.queue):
                dropped += (d for d in lane.queue if d.shard not in keep)
                lane.queue = deque(d for d in lane.queue if d.shard in keep)
        return dropped

    def set_back(self, seconds: float) -> None:
        """The clock was set back: every time noted so far comes so much earlier by it."""
        for lane in self._lanes.values():
            lane.paused_until -= seconds
            lane.ready_at -= seconds
            lane.waits_since -= seconds
            lane.alarm -= seconds
            lane.queue = deque(replace(d, next_at=d.next_at - seconds) for d in lane.queue)
        self._alarms = [(at - seconds, order, lane) for at, order, lane in self._alarms]

    def _next_in_turn(self) -> Lane:
        ring = self._turns.popleft()
        lane = ring.popleft()
        lane.ringed = False
        if ring:
            self._turns.append(ring)
        else:
            del self._rings[lane.environment_id]
        return lane

    def _start(self, lane: Lane, now: float) -> Delivery:
        delivery = lane.queue.popleft()
        lane.flying.add(delivery.id)
        lane.unsettled.add(delivery.id)
        lane.waits_since = min(lane.waits_since, now)
        if lane.interval:
            lane.ready_at = max(lane.ready_at, now - CATCH_UP) + lane.interval
        if lane.slow:
            self._slow.add(delivery.id)
        self._ring_up(lane)
        return delivery

    def _free(self, lane: Lane, delivery: Delivery) -> None:
        if delivery.id in lane.flying:
            lane.flying.remove(delivery.id)
            lane.waits_since = inf
            if delivery.id in self._slow:
                self._slow.remove(delivery.id)
                if self._standing_by:
                    self._call(next(iter(self._standing_by.values())))
        self._ring_up(lane)

    def _find_slow(self, lane: Lane) -> None:
        if not lane.slow:
            lane.slow = True
            self._slow |= lane.flying

    def _find_quick(self, lane: Lane) -> None:
        lane.slow = False
        self._slow -= lane.flying
        self._call(lane)

    def _call_next(self) -> bool:
        """Give one that stands by its turn, if there is a place; whether anybody has a turn now."""
        while self._standing_by and len(self._slow) < self._slow_places and not self._turns:
            self._call(next(iter(self._standing_by.values())))
        return bool(self._turns)

    def _call(self, lane: Lane) -> None:
        if self._standing_by.pop(lane.endpoint_id, None):
            lane.ringed = False
            self._ring_up(lane)

    def _set_alarm(self, lane: Lane, until: float) -> None:
        if until < lane.alarm:  # one that rings earlier will find it blocked, and set the next
            lane.alarm = until
            heappush(self._alarms, (until, next(self._order), lane))

    def _ring_up(self, lane: Lane) -> None:
        if not lane.ringed and lane.queue and len(lane.flying) < lane.limit and not lane.holding:
            lane.ringed = True
            ring = self._rings.get(lane.environment_id)
            if ring is None:
                ring = self._rings[lane.environment_id] = deque()
                self._turns.append(ring)
            ring.append(lane)
