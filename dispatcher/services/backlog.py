"""Count how much waits to be sent, in which state and for how long.

Metrics and `/api/stats` show these numbers. Counting is bounded. With a million pending deliveries
it reads about twenty thousand rows of the indexes, and reports that there are more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.figures import (
    BACKLOG_COUNT_LIMIT,
    STATES,
    Backlog,
    Inbox,
    LastHour,
    Waiting,
    WebhookCounts,
)
from dispatcher.store.queries.daemons import DaemonRow, Daemons
from dispatcher.store.queries.settings import Settings
from dispatcher.store.queries.statistics import (
    BacklogSampleRow,
    FiguresRow,
    IntervalRow,
    PendingRow,
    Statistics,
)
from dispatcher.store.session import Queryable

STATUS_SECONDS: Final = 10.0
"""Age at which a daemon's status no longer counts.

A daemon publishes its status every two seconds, so an older one belongs to a stopped daemon.
"""
OTHER: Final = "other"
"""Stands for all environments without a line of their own."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The answer of `/api/stats`.

    `in_flight` and `unrecorded` count all daemons together. They are None if one environment is
    requested, because a daemon counts them only for all environments.
    """

    environment_id: str
    at: datetime
    pending: Waiting
    in_flight: int | None
    unrecorded: int | None
    inbox: Inbox
    webhooks: WebhookCounts
    quarantined: int
    paused_at: datetime | None
    all_paused_at: datetime | None
    last_hour: LastHour


@dataclass(frozen=True, slots=True)
class BacklogPoint:
    """The most that was pending in an interval, by state. The numbers are None if no daemon ran."""

    at: int
    due: int | None
    scheduled: int | None
    held: int | None


class Backlogs:
    """Reads of the backlog. The methods raise StoreError and StatementTimeoutError."""

    def __init__(self, session: Queryable) -> None:
        self._settings = Settings(session)
        self._statistics = Statistics(session)
        self._daemons = Daemons(session)

    async def read_in_time(self, seconds: float) -> Backlog:
        """Return the backlog of all environments. Limit each statement to `seconds`.

        Call this within a transaction. Raise StatementTimeoutError if a statement takes longer.
        """
        await self._settings.limit_statement_time(int(seconds * 1000))
        return await self.read(None)

    async def read(self, environment_id: str | None) -> Backlog:
        """Return the backlog of one environment, or of all for None."""
        rows = (
            await self._statistics.pending_by_state(BACKLOG_COUNT_LIMIT)
            if environment_id is None
            else await self._statistics.pending_of_environment(environment_id, BACKLOG_COUNT_LIMIT)
        )
        figures = await self._statistics.figures(environment_id, BACKLOG_COUNT_LIMIT)
        return _backlog(rows, figures)

    async def stats(self, environment_id: str | None) -> Stats:
        """Return all figures of one environment, or of all for None."""
        backlog = await self.read(environment_id)
        key = ALL_ENVIRONMENTS if environment_id is None else environment_id
        minutes = await self._statistics.series(key, 10, 60, 60)
        in_flight = unrecorded = None
        if environment_id is None:
            statuses = _statuses(await self._daemons.list())
            in_flight = sum(status.get("in_flight", 0) for status in statuses)
            unrecorded = sum(status.get("unrecorded", 0) for status in statuses)
        return Stats(
            environment_id=key,
            at=backlog.at,
            pending=backlog.pending,
            in_flight=in_flight,
            unrecorded=unrecorded,
            inbox=backlog.inbox,
            webhooks=backlog.endpoints,
            quarantined=backlog.quarantined,
            paused_at=backlog.paused_at,
            all_paused_at=backlog.all_paused_at,
            last_hour=_last_hour(minutes),
        )

    async def series(
        self, environment_id: str | None, width_seconds: int, seconds: Sequence[int]
    ) -> tuple[BacklogPoint, ...]:
        """Return what was pending in the intervals that begin at these Unix seconds."""
        key = ALL_ENVIRONMENTS if environment_id is None else environment_id
        rows = await self._statistics.backlog_series(key, width_seconds, len(seconds))
        by_second = {int(row["at"].timestamp()): row for row in rows}
        return tuple(_point(at, by_second.get(at)) for at in seconds)


def largest(
    environments: Mapping[str, Mapping[str, int]], limit: int
) -> Mapping[str, Mapping[str, int]]:
    """Return the `limit` environments with most waiting deliveries, and the others summed as OTHER.

    An environment that is itself named OTHER is counted with the others. Otherwise the name would
    come twice.
    """
    named = [name for name in environments if name != OTHER]
    named.sort(key=lambda name: (-sum(environments[name].values()), name))
    chosen = {name: environments[name] for name in named[:limit]}
    rest = [states for name, states in environments.items() if name not in chosen]
    if rest:
        chosen[OTHER] = {state: sum(states.get(state, 0) for states in rest) for state in STATES}
    return chosen


def _backlog(rows: Sequence[PendingRow], figures: FiguresRow) -> Backlog:
    now: datetime = figures["now"]
    environments: dict[str, dict[str, int]] = {}
    for row in rows:
        environments.setdefault(row["environment_id"], {})[row["state"]] = row["deliveries"]
    return Backlog(
        at=now,
        pending=_waiting(rows, now),
        environments=environments,
        inbox=Inbox(figures["inbox"], figures["inbox_more"], _age(now, [figures["inbox_oldest"]])),
        endpoints=WebhookCounts(figures["active"], figures["disabled"], figures["failing"]),
        quarantined=figures["quarantined"],
        paused_at=figures["paused_at"],
        all_paused_at=figures["all_paused_at"],
    )


def _waiting(rows: Sequence[PendingRow], now: datetime) -> Waiting:
    count = {state: sum(r["deliveries"] for r in rows if r["state"] == state) for state in STATES}
    return Waiting(
        **{state: min(number, BACKLOG_COUNT_LIMIT) for state, number in count.items()},
        more=tuple(s for s in STATES if any(r["more"] for r in rows if r["state"] == s)),
        oldest_due_seconds=_age(now, [row["oldest"] for row in rows]),
    )


def _age(now: datetime, times: Iterable[datetime | None]) -> float:
    """Return the seconds since the earliest of the times, or 0 without any."""
    since = min((time for time in times if time is not None), default=now)
    return max(0.0, (now - since).total_seconds())


def _statuses(daemons: Sequence[DaemonRow]) -> list[Mapping[str, Any]]:
    """Return the published status of each running daemon."""
    return [
        orjson.loads(row["status"])
        for row in daemons
        if row["status"] and (row["status_age"] or 0.0) < STATUS_SECONDS
    ]


def _last_hour(minutes: Sequence[IntervalRow]) -> LastHour:
    return LastHour(
        sum(row["delivered"] for row in minutes),
        sum(row["failed"] for row in minutes),
        sum(row["attempts"] for row in minutes),
        sum(row["failed_attempts"] for row in minutes),
    )


def _point(at: int, row: BacklogSampleRow | None) -> BacklogPoint:
    if row is None:
        return BacklogPoint(at, None, None, None)
    return BacklogPoint(at, row["due"], row["scheduled"], row["held"])
