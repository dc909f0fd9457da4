"""Summarize the state of webhooks, of an environment or all of them, and of the daemons."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from dispatcher.core import histogram
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.store.queries.daemons import DaemonRow, Daemons
from dispatcher.store.queries.statistics import (
    BacklogRow,
    EndpointSumsRow,
    IntervalRow,
    SpeedRow,
    Statistics,
)
from dispatcher.store.session import Queryable

OVERVIEW_COUNT_LIMIT: Final = 10_000
"""The number at which counting stops."""
HALF_HOURS: Final = 48


@dataclass(frozen=True, slots=True)
class Count:
    """A number. `more` is true if the real number is larger."""

    number: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class WebhookHealth:
    """The health of a webhook over the last 24 hours.

    Rates are shares of attempts. Rates and milliseconds are None without attempts. `sparkline` has
    the attempts and failures of each half hour; the last one is unfinished.
    """

    attempts_24h: int
    success_rate_24h: float | None
    p50_ms: float | None
    p95_ms: float | None
    pending: Count
    sparkline: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Point:
    """The attempts of one interval that begins at `at`.

    `delivered` counts 2xx responses, `failed` all others. `p95_ms` covers both.
    """

    at: datetime
    delivered: int
    failed: int
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The state of an environment, or of all environments, at the time `at`.

    Rates are shares of attempts, or None without attempts. `oldest` is when the oldest event or
    delivery that waits was made. `hour` has one point a minute, `day` one every ten minutes. The
    last point of each is unfinished. `paused_at` is when the environment's own pause began.
    """

    at: datetime
    deliveries_per_second: float
    success_rate_1h: float | None
    success_rate_24h: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    webhooks: Count
    disabled: Count
    inbox: Count
    pending: Count
    oldest: datetime | None
    quarantined: Count
    paused_at: datetime | None
    all_paused_at: datetime | None
    hour: tuple[Point, ...]
    day: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The state of one daemon.

    `silence` is the seconds since its last heartbeat. `status_age` is the age of its published
    status in seconds. The fields from the status are None until the daemon has published one.
    `in_queues` counts deliveries in endpoint queues, `scheduled` those in the retry heap, and
    `unrecorded` attempts that are not written yet.
    """

    id: int
    silence: float
    shards: tuple[int, ...]
    status_age: float | None
    version: str | None = None
    host: str | None = None
    pid: int | None = None
    started_at: datetime | None = None
    in_flight: int | None = None
    in_queues: int | None = None
    scheduled: int | None = None
    unrecorded: int | None = None


class Overview:
    """Reads of the current state.

    The methods raise StoreError and StatementTimeoutError.
    """

    def __init__(self, session: Queryable) -> None:
        self._statistics = Statistics(session)
        self._daemons = Daemons(session)

    async def webhooks(
        self, environment_id: str, ids: Collection[UUID]
    ) -> Mapping[UUID, WebhookHealth]:
        """Return the health of the environment's webhooks among `ids`. Up to 200 are quick."""
        rows = await self._statistics.of_endpoints(
            environment_id, ids, HALF_HOURS, OVERVIEW_COUNT_LIMIT + 1
        )
        return {row["id"]: _health(row) for row in rows}

    async def summary(self, environment_id: str | None) -> Summary:
        """Return the summary of one environment, or of all for None."""
        key = ALL_ENVIRONMENTS if environment_id is None else environment_id
        minutes = await self._statistics.series(key, 10, 60, 60)
        tens = await self._statistics.series(key, 600, 600, 144)
        speed = await self._statistics.speed(key)
        backlog = (
            await self._statistics.backlog_of_all(OVERVIEW_COUNT_LIMIT + 1)
            if environment_id is None
            else await self._statistics.backlog(environment_id, OVERVIEW_COUNT_LIMIT + 1)
        )
        return _summary(minutes, tens, speed, backlog)

    async def daemons(self) -> tuple[DaemonStatus, ...]:
        """Return the daemons of the whole system.

        Show them only to clients that may see all environments.
        """
        return tuple(_daemon(row) for row in await self._daemons.list())


def _summary(
    minutes: Sequence[IntervalRow],
    tens: Sequence[IntervalRow],
    speed: SpeedRow,
    backlog: BacklogRow,
) -> Summary:
    durations = histogram.add_all(row["durations"] for row in minutes)
    now = speed["now"]
    return Summary(
        at=now,
        deliveries_per_second=speed["delivered"] / speed["seconds"],
        success_rate_1h=_rate(minutes),
        success_rate_24h=_rate(tens),
        p50_ms=histogram.percentile(durations, 0.50),
        p95_ms=histogram.percentile(durations, 0.95),
        p99_ms=histogram.percentile(durations, 0.99),
        webhooks=_count(backlog["webhooks"]),
        disabled=_count(backlog["disabled"]),
        inbox=_count(backlog["inbox"]),
        pending=_count(backlog["pending"]),
        oldest=backlog["oldest"],
        quarantined=_count(backlog["quarantined"]),
        paused_at=backlog["paused_at"],
        all_paused_at=backlog["all_paused_at"],
        hour=_points(minutes, now, 60, 60),
        day=_points(tens, now, 600, 144),
    )


def _health(row: EndpointSumsRow) -> WebhookHealth:
    half_hours = _half_hours(row)
    attempts = sum(number for number, _ in half_hours)
    failures = sum(number for _, number in half_hours)
    durations = row["durations"] or histogram.EMPTY
    return WebhookHealth(
        attempts_24h=attempts,
        success_rate_24h=_success_rate(attempts, failures),
        p50_ms=histogram.percentile(durations, 0.50),
        p95_ms=histogram.percentile(durations, 0.95),
        pending=_count(row["pending"]),
        sparkline=half_hours,
    )


def _half_hours(row: EndpointSumsRow) -> tuple[tuple[int, int], ...]:
    """Return the attempts and failures of each half hour, the last one now."""
    sums = [(0, 0)] * HALF_HOURS
    for slot, attempts, failures in zip(
        row["slots"] or (), row["attempts"] or (), row["failed_attempts"] or (), strict=True
    ):
        if 0 <= slot < HALF_HOURS:  # an interval may begin between two statements
            sums[slot] = (attempts, failures)
    return tuple(sums)


def _points(
    rows: Sequence[IntervalRow], now: datetime, width_seconds: int, count: int
) -> tuple[Point, ...]:
    """Return one point for each of the last `count` intervals, also where nothing was sent."""
    by_second = {int(row["at"].timestamp()): row for row in rows}
    last = int(now.timestamp()) // width_seconds * width_seconds
    first = last - (count - 1) * width_seconds
    return tuple(_point(at, by_second.get(at)) for at in range(first, last + 1, width_seconds))


def _point(second: int, row: IntervalRow | None) -> Point:
    at = datetime.fromtimestamp(second, UTC)
    if row is None:
        return Point(at, delivered=0, failed=0, p95_ms=None)
    return Point(
        at,
        delivered=row["attempts"] - row["failed_attempts"],
        failed=row["failed_attempts"],
        p95_ms=histogram.percentile(row["durations"], 0.95),
    )


def _rate(rows: Sequence[IntervalRow]) -> float | None:
    """Return the success rate of all intervals together."""
    return _success_rate(
        sum(row["attempts"] for row in rows), sum(row["failed_attempts"] for row in rows)
    )


def _success_rate(attempts: int, failures: int) -> float | None:
    """Return the share of attempts that succeeded, or None without attempts."""
    return (attempts - failures) / attempts if attempts else None


def _count(number: int) -> Count:
    return Count(min(number, OVERVIEW_COUNT_LIMIT), number > OVERVIEW_COUNT_LIMIT)


def _daemon(row: DaemonRow) -> DaemonStatus:
    status = orjson.loads(row["status"]) if row["status"] else {}
    return DaemonStatus(
        id=row["id"],
        silence=max(0.0, row["silence"]),
        shards=tuple(row["shards"]),
        status_age=row["status_age"],
        version=status.get("version"),
        host=status.get("host"),
        pid=status.get("pid"),
        started_at=row["started_at"],
        in_flight=status.get("in_flight"),
        in_queues=status.get("in_queues"),
        scheduled=status.get("scheduled"),
        unrecorded=status.get("unrecorded"),
    )
