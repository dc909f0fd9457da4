"""The queue of one endpoint: its due deliveries, its limits, and its attempts in flight.

Pure: times are arguments, in epoch seconds by the database's clock.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from uuid import UUID

from dispatcher.core.model import Delivery

SLOW_SECONDS = 1.0
"""An endpoint is slow if an answer takes at least this long."""
CLEAR_SECONDS = 2 * SLOW_SECONDS
"""A slow endpoint stays slow until no answer has been late for this long.

Otherwise an endpoint that answers some requests at once, and lets the others time out, would count
as quick again and again, and take every slot.
"""
PROBE_LIMIT = 4
"""Requests in flight to an endpoint until its first answer shows whether it is slow."""
CATCH_UP_SECONDS = 0.02
"""How much a rate limit may catch up, as timers fire late. Otherwise the rate would be too low."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The settings of an endpoint that its queue obeys.

    - `limit`: most attempts in flight at the same time.
    - `environment_id`: queues take turns by environment.
    - `is_stopped`: the queue starts nothing and accepts nothing. The endpoint is disabled, deleted
      or cannot be read, or its environment or all environments are paused.
    - `is_ordered`: one delivery at a time, until it is recorded; the head blocks the rest.
    - `is_failing`: the endpoint counts as slow until its first answer. Otherwise many failing
      endpoints that are new to a daemon could take all slots.
    - `stored_rest`: the end of the rest in the table, 0 if there is none.
    - `interval`: mean seconds between two starts, 0 without rate limit.
    """

    limit: int
    environment_id: str = ""
    is_stopped: bool = False
    is_ordered: bool = False
    is_failing: bool = False
    stored_rest: float = 0.0
    interval: float = 0.0


@dataclass(slots=True, eq=False)
class EnvironmentShare:
    """What the queues of one environment share: turns, and slots of attempts in flight.

    - `queues`: the number of queues.
    - `held`: the number of slots that their attempts hold.
    - `held_slow`: the number of slots for slow endpoints that their attempts hold.
    - `turns`: the queues that may start something, in the order of their turns.
    - `waiting_slow`: the queues that wait for a slot for slow endpoints, by endpoint; the first one
      has waited longest.
    """

    id: str
    queues: int = 0
    held: int = 0
    held_slow: int = 0
    turns: "deque[EndpointQueue]" = field(default_factory=deque)
    waiting_slow: "dict[UUID, EndpointQueue]" = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class EndpointQueue:
    """The deliveries of one endpoint in memory.

    - `environment`: the environment of the first settings. It stays, as slots are counted by it.
    - `resting_until`: nothing starts before this time. It may be later than the stored rest, as
      this daemon knows the answers to its own requests before they are in the table.
    - `ready_at`: the time of the next start that the rate limit allows.
    - `is_slow`: True if an answer was late within CLEAR_SECONDS. Before the first answer, it is
      True if the endpoint was failing when its queue was opened, else None.
    - `late_at`: when an answer was last seen to be late, minus infinity if never.
    - `has_turn`: the queue has a turn in the round robin, or waits for a slow slot.
    - `alarm_at`: the time of its next alarm, infinity if none is set.
    - `in_flight`: the time of each start that counts for the limit, by delivery id, oldest first.
    - `unrecorded`: ids of deliveries that were taken and are not recorded. Unless the queue is
      ordered, a delivery leaves `in_flight` earlier: when its attempt ends.
    - `waiting`: the due deliveries, in the order in which they start.
    """

    endpoint_id: UUID
    environment: EnvironmentShare
    settings: QueueSettings
    resting_until: float = 0.0
    ready_at: float = 0.0
    is_slow: bool | None = None
    late_at: float = -inf
    has_turn: bool = False
    alarm_at: float = inf
    in_flight: dict[int, float] = field(default_factory=dict)
    unrecorded: set[int] = field(default_factory=set)
    waiting: deque[Delivery] = field(default_factory=deque)

    def configure(self, settings: QueueSettings) -> None:
        """Apply settings that were read from the table.

        If the stored rest ends earlier than before, or the queue is stopped, only the stored rest
        holds. If not, the later one holds: the stored rest, or the one that this daemon knows of.
        """
        is_shortened = settings.stored_rest < self.settings.stored_rest
        if settings.is_stopped or is_shortened:
            self.resting_until = settings.stored_rest
        else:
            self.resting_until = max(self.resting_until, settings.stored_rest)
        self.settings = settings

    def can_start(self) -> bool:
        """Return True if a delivery waits, and neither the limit nor the settings forbid it."""
        if not self.waiting:
            return False
        settings = self.settings
        return len(self.in_flight) < settings.limit and not settings.is_stopped

    def blocked_until(self) -> float:
        """Return when the head may start: after a rest, the rate limit, an ordered retry's time.

        A delivery without attempts is due at once: if its time is in the future, the clock was set
        back. Before the first answer, at most PROBE_LIMIT requests start in SLOW_SECONDS.
        """
        settings = self.settings
        until = self.resting_until
        if settings.interval:
            until = max(until, self.ready_at)
        if settings.is_ordered and self.waiting:
            head = self.waiting[0]
            if head.attempts_of_schedule:
                until = max(until, head.next_at)
        if self.is_slow is None and len(self.in_flight) >= PROBE_LIMIT:
            until = max(until, self.oldest_start() + SLOW_SECONDS)
        return until

    def oldest_start(self) -> float:
        """Return when the oldest request in flight started, infinity if there is none."""
        return next(iter(self.in_flight.values()), inf)

    def may_be_quick(self, now: float) -> bool:
        """Return True if no answer is late, and none was for CLEAR_SECONDS."""
        return now - self.late_at >= CLEAR_SECONDS and now - self.oldest_start() < SLOW_SECONDS

    def start(self, now: float) -> Delivery:
        """Remove and return the head, which is in flight and unrecorded from now on."""
        delivery = self.waiting.popleft()
        self.in_flight[delivery.id] = now
        self.unrecorded.add(delivery.id)
        interval = self.settings.interval
        if interval:
            self.ready_at = max(self.ready_at, now - CATCH_UP_SECONDS) + interval
        return delivery

    def remove_waiting(self) -> list[Delivery]:
        """Remove and return all waiting deliveries."""
        removed, self.waiting = list(self.waiting), deque()
        return removed

    def replace_waiting(self, changes: Mapping[int, Delivery | None]) -> set[int]:
        """Replace waiting deliveries by those in `changes`, in their places; None removes one.

        Return the ids in `changes` that were waiting.
        """
        replaced = {delivery.id for delivery in self.waiting if delivery.id in changes}
        if replaced:
            current = (changes.get(delivery.id, delivery) for delivery in self.waiting)
            self.waiting = deque(delivery for delivery in current if delivery is not None)
        return replaced

    def remove_other_shards(self, shards: frozenset[int]) -> list[Delivery]:
        """Remove and return the waiting deliveries whose shard is not in `shards`."""
        removed = [delivery for delivery in self.waiting if delivery.shard not in shards]
        if removed:
            self.waiting = deque(d for d in self.waiting if d.shard in shards)
        return removed

    def set_back(self, seconds: float) -> None:
        """Move all times back by `seconds`, as the clock was."""
        self.resting_until -= seconds
        self.ready_at -= seconds
        self.late_at -= seconds
        self.in_flight = {i: started - seconds for i, started in self.in_flight.items()}
        self.alarm_at -= seconds
        self.waiting = deque(replace(d, next_at=d.next_at - seconds) for d in self.waiting)
