"""What must be done now and then: partitions made and dropped, deliveries nobody can want ended."""

from collections.abc import Callable
from time import monotonic

from dispatcher import ids, observe
from dispatcher.store.answered import Answered
from dispatcher.store.daemons import Daemons
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.partitions import Partitions
from dispatcher.store.statistics import Statistics

DAYS_AHEAD = 7
HOUR = 3600.0
DAY = 86_400.0
CANCEL_EVERY = 5.0
CANCEL_MOST = 2_000
KEYS_MOST = 5_000
SUMS_MOST = 5_000
ANSWERED_MOST = 1_000
"""Answers forgotten in one statement: each may hold a long body."""


class Maintenance:
    """`keep_events`, `keep_attempts`: seconds. `now` is the database's time."""

    def __init__(
        self,
        partitions: Partitions,
        deliveries: Deliveries,
        daemons: Daemons,
        answered: Answered,
        statistics: Statistics,
        *,
        keep_events: float,
        keep_attempts: float,
        now: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._deliveries = deliveries
        self._daemons = daemons
        self._answered = answered
        self._statistics = statistics
        self._keep_events = keep_events
        self._keep_attempts = keep_attempts
        self._now = now
        self._hour_began = float("-inf")

    async def look(self) -> float:
        """One pass; returns the seconds to the next. Raises StoreUnavailable or StatementTimeout."""
        cancelled = await self._deliveries.cancel(CANCEL_MOST, self._floor(self._keep_events - DAY))
        if cancelled:
            observe.cancelled(cancelled)
        if monotonic() - self._hour_began >= HOUR:
            await self._hourly()
            self._hour_began = monotonic()
        return 0.0 if cancelled >= CANCEL_MOST else CANCEL_EVERY

    async def _hourly(self) -> None:
        made = await self._partitions.ensure(DAYS_AHEAD)
        if made:
            observe.partitions_made(made)
        while name := await self._partitions.drop_one("attempts", self._keep_attempts):
            observe.partition_dropped(name)
        while name := await self._partitions.drop_one("events", self._keep_events):
            observe.partition_dropped(name)
        oldest = self._floor(self._keep_events + DAY)
        while await self._partitions.forget_keys(oldest, KEYS_MOST) == KEYS_MOST:
            pass
        while await self._answered.prune(DAY, ANSWERED_MOST) == ANSWERED_MOST:
            pass
        while await self._statistics.prune(SUMS_MOST) == SUMS_MOST:
            pass
        await self._daemons.forget_dead()
        await self._daemons.forget_told()

    def _floor(self, age: float) -> int:
        """The smallest id of the moment `age` seconds ago; 0 before ids began."""
        milliseconds = int((self._now() - age) * 1000) - ids.EPOCH_MS
        return max(0, milliseconds << ids.TIME_SHIFT)
