"""Run periodic maintenance: a table of steps, where each step runs and fails on its own.

A step does a bounded part of its work per pass, so that it does not delay the others for long. A
step that fails is tried again with growing delays, while the others go on.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic

from dispatcher.config.sections import Retention
from dispatcher.core import ids
from dispatcher.core.durations import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS
from dispatcher.core.figures import BACKLOG_COUNT_LIMIT
from dispatcher.engine.upkeep.trigger_check import TriggerCheck
from dispatcher.store.errors import StoreError
from dispatcher.store.queries.audit import Audit
from dispatcher.store.queries.bulk_actions import BulkActions
from dispatcher.store.queries.daemons import Daemons
from dispatcher.store.queries.dashboard_sessions import DashboardSessions
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.idempotency import IdempotentResponses
from dispatcher.store.queries.partitions import Partitions
from dispatcher.store.queries.quarantine import Quarantine
from dispatcher.store.queries.replays import Replays
from dispatcher.store.queries.replicated import Replicated
from dispatcher.store.queries.settings import Settings
from dispatcher.store.queries.statistics import Statistics
from dispatcher.store.queries.tokens import Tokens
from dispatcher.store.queries.triggers import Triggers
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

DAYS_AHEAD = 7
"""Partitions are made this many days ahead, as inserts fail without one."""
TRIGGERS_SECONDS = 15.0
"""Seconds between two checks. Events are not sent while a trigger is disabled, so people must see
that soon, and also when it is enabled again. A check reads a few rows of PostgreSQL's catalogs."""
CANCEL_SECONDS = 5.0
"""Seconds between two passes of the most frequent steps, and so the longest wait of the stage."""
REPLICATED_SECONDS = 5.0
"""Seconds between two searches for replicated events, and the shortest time from the arrival of an
event to its search: the rows that show what became of it may be replicated that much later."""
REPLICATED_AGE_LIMIT_SECONDS = DAY_SECONDS
"""Age of the oldest replicated event that is sent. Otherwise an initial copy would send all old
events."""
BACKOFF_FIRST_SECONDS = 5.0
BACKOFF_LIMIT_SECONDS = 600.0
"""The delay of a step after its first failure, and the longest one: each failure doubles it."""
UNSET_CLOCK_SECONDS = 0.25
"""Seconds between two checks whether the first heartbeat has set the clock."""
CANCEL_LIMIT = 2_000
"""Deliveries of each kind cancelled per statement: expired ones, and those of deleted endpoints."""
KEYS_LIMIT = 5_000
"""Idempotency keys deleted per statement."""
SUMS_LIMIT = 5_000
"""Rows of each kind of statistics deleted per statement."""
ROWS_LIMIT = 1_000
"""Rows of other kinds per statement."""


@dataclass(slots=True)
class Step:
    """One kind of maintenance work.

    `run` does a bounded part of it and returns True if more is left; work without parts returns
    None. `due_at` is in monotonic seconds; `failures` counts the failures in a row.
    """

    name: str
    run: Callable[[], Awaitable[bool | None]]
    every_seconds: float
    due_at: float = float("-inf")
    failures: int = 0


class Maintenance:
    """The stage that runs the due steps, in the order of their table.

    `is_clock_set` returns False before the database's time is known. No step runs then: by this
    machine's clock, if it were a month ahead, a step would cancel all that is pending.
    """

    def __init__(self, steps: Iterable[Step], *, is_clock_set: Callable[[], bool]) -> None:
        self._steps = tuple(steps)
        self._is_clock_set = is_clock_set

    async def run_once(self) -> float:
        """Make one pass; return the seconds to the next.

        Raise StoreError; the next pass starts with another step, as this one is delayed.
        """
        if not self._is_clock_set():
            return UNSET_CLOCK_SECONDS
        for step in self._steps:
            if step.due_at <= monotonic():
                await self._run(step)
        wait = min(step.due_at for step in self._steps) - monotonic()
        return max(0.0, min(wait, CANCEL_SECONDS))

    async def _run(self, step: Step) -> None:
        try:
            more = await step.run()
        except Exception as error:
            delay = min(BACKOFF_LIMIT_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(step.failures, 20))
            step.failures += 1
            step.due_at = monotonic() + delay
            observe.maintenance.step_failed(step.name, error, delay)
            if isinstance(error, StoreError):
                raise  # otherwise each of the other steps would wait for the database as long
            return
        step.failures = 0
        step.due_at = monotonic() + (0.0 if more else step.every_seconds)


class MaintenanceSteps:
    """The maintenance steps of a daemon.

    `keep` has the retention times; `now` returns the database's time in epoch seconds.
    """

    def __init__(self, session: Session, keep: Retention, *, now: Callable[[], float]) -> None:
        self._partitions = Partitions(session)
        self._deliveries = Deliveries(session)
        self._daemons = Daemons(session)
        self._responses = IdempotentResponses(session)
        self._statistics = Statistics(session)
        self._quarantine = Quarantine(session)
        self._replays = Replays(session)
        self._bulk_actions = BulkActions(session)
        self._audit = Audit(session)
        self._tokens = Tokens(session)
        self._dashboard_sessions = DashboardSessions(session)
        self._replicated = Replicated(session)
        self._settings = Settings(session)
        self.triggers = TriggerCheck(Triggers(session))
        self._keep = keep
        self._now = now

    def table(self) -> Sequence[Step]:
        """Return all steps, due at once.

        Steps that end what still needs events come before the step that drops events.
        """
        return (
            Step("cancel_deliveries", self._cancel_deliveries, CANCEL_SECONDS),
            Step("adopt_replicated_events", self._adopt_replicated_events, REPLICATED_SECONDS),
            Step("check_triggers", self.triggers.run, TRIGGERS_SECONDS),
            Step("refresh_fast_path", self._settings.refresh_fast_path, MINUTE_SECONDS),
            Step("create_partitions", self._create_partitions, HOUR_SECONDS),
            Step("expire_quarantine", self._expire_quarantine, MINUTE_SECONDS),
            Step("skip_dropped_events", self._skip_dropped_events, MINUTE_SECONDS),
            Step("drop_attempts", self._drop_attempts, HOUR_SECONDS),
            Step("drop_events", self._drop_events, HOUR_SECONDS),
            _prune("prune_idempotency_keys", self._prune_keys, KEYS_LIMIT),
            _prune(
                "prune_idempotent_responses",
                partial(self._responses.prune, DAY_SECONDS),
                ROWS_LIMIT,
            ),
            Step("sample_backlog", self._sample_backlog, MINUTE_SECONDS),
            _prune("prune_statistics", self._statistics.prune, SUMS_LIMIT),
            _prune("prune_replays", partial(self._replays.prune, self._keep.events)),
            _prune("prune_bulk_actions", partial(self._bulk_actions.prune, self._keep.events)),
            _prune("prune_audit_log", self._prune_audit_log),
            _prune("prune_tokens", partial(self._tokens.prune, self._keep.audit)),
            _prune("prune_dashboard_sessions", self._dashboard_sessions.prune),
            Step("prune_daemons", self._prune_daemons, HOUR_SECONDS),
        )

    async def _cancel_deliveries(self) -> bool:
        cancelled = await self._deliveries.cancel_expired_and_deleted(
            CANCEL_LIMIT, self._expired_below()
        )
        if cancelled:
            observe.deliveries.cancelled(cancelled)
        return cancelled >= CANCEL_LIMIT

    async def _adopt_replicated_events(self) -> bool:
        fates = await self._replicated.adopt(
            after_seconds=REPLICATED_SECONDS,
            limit=ROWS_LIMIT,
            too_old_below=self._floor(REPLICATED_AGE_LIMIT_SECONDS),
        )
        if fates:
            observe.events.replicated(fates)
        return len(fates) == ROWS_LIMIT

    async def _create_partitions(self) -> None:
        created = await self._partitions.ensure(DAYS_AHEAD)
        if created:
            observe.maintenance.partitions_created(created)

    async def _expire_quarantine(self) -> bool:
        expired = await self._quarantine.expire(self._expired_below(), ROWS_LIMIT)
        for event_id, reason in expired:
            observe.events.quarantine_expired(event_id, reason)
        return len(expired) == ROWS_LIMIT

    async def _skip_dropped_events(self) -> None:
        for replay in await self._replays.skip_dropped_events(self._expired_below()):
            observe.replays.dropped_events_skipped(replay)

    async def _drop_attempts(self) -> bool:
        name = await self._partitions.drop_one("attempts", self._keep.attempts)
        if name is not None:
            observe.maintenance.partition_dropped(name)
        return name is not None

    async def _drop_events(self) -> bool:
        name = await self._partitions.drop_one("events", self._keep.events)
        if name is not None:
            observe.maintenance.partition_dropped(name)
        return name is not None

    async def _prune_keys(self, limit: int) -> int:
        oldest = self._floor(self._keep.events + DAY_SECONDS)
        return await self._partitions.prune_keys(oldest, limit)

    async def _sample_backlog(self) -> None:
        await self._statistics.sample_backlog(BACKLOG_COUNT_LIMIT)

    async def _prune_audit_log(self, limit: int) -> int:
        return await self._audit.prune(self._floor(self._keep.audit), limit)

    async def _prune_daemons(self) -> None:
        await self._daemons.prune()
        await self._daemons.prune_status()

    def _expired_below(self) -> int:
        """Return the id below which everything must end now: such events are dropped in a day."""
        return self._floor(self._keep.events - DAY_SECONDS)

    def _floor(self, age: float) -> int:
        """Return the smallest id of the time `age` seconds ago; 0 before the first possible id."""
        milliseconds = int((self._now() - age) * 1000) - ids.EPOCH_MS
        return max(0, milliseconds << ids.TIME_SHIFT)


def _prune(name: str, prune: Callable[[int], Awaitable[int]], limit: int = ROWS_LIMIT) -> Step:
    """Return a step that deletes at most `limit` rows at a time, and again while there are more."""

    async def run() -> bool:
        return await prune(limit) == limit

    return Step(name, run, HOUR_SECONDS)
