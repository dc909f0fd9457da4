"""The overview: results of sending, the backlog, and the daemons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web

from dispatcher.core import durations
from dispatcher.core.heartbeats import STOPPED_SECONDS
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.services.backlog import BacklogPoint
from dispatcher.services.overview import Point
from dispatcher.services.propagation import wait_until_applied


@dataclass(frozen=True, slots=True)
class Range:
    """A time range of the charts, and the width of one point in seconds, also in words."""

    name: str
    title: str
    width: int
    each: str


RANGES: Final = (
    Range("hour", "Last hour", 60, "a minute"),
    Range("day", "Last 24 hours", 600, "in 10 minutes"),
)


async def overview(request: DashboardRequest) -> web.Response:
    """Show the overview of one environment, or of all if the token may see them."""
    everywhere = request.sees_all
    of_all = everywhere and request.http.query.get("of") == "all"
    shown = RANGES[request.http.query.get("range") == "day"]
    whose = None if of_all else request.environment_id
    summary = await request.services.overview.summary(whose)
    verdict = await request.services.verdicts.read(whose)
    points = summary.day if shown.name == "day" else summary.hour
    backlog = await request.services.backlogs.series(
        whose, shown.width, [int(point.at.timestamp()) for point in points]
    )
    daemons = await request.services.overview.daemons() if everywhere else ()
    return request.page(
        "overview.html",
        summary=summary,
        everywhere=everywhere,
        of_all=of_all,
        shown=shown,
        ranges=RANGES,
        points=points,
        verdict=verdict,
        environments=await request.services.environments.names(
            {webhook.environment_id for webhook in verdict.unwell if of_all}
        ),
        lag=durations.rounded(verdict.backlog.pending.oldest_due_seconds),
        chart=chart(points, backlog),
        table=request.http.query.get("as") == "table",
        daemons=[(daemon, stretches(daemon.shards)) for daemon in daemons],
        later=sum(daemon.scheduled or 0 for daemon in daemons),
        silent=STOPPED_SECONDS,
    )


async def pause(request: DashboardRequest) -> web.Response:
    """Pause sending for this environment, or for all of them."""
    everything = await _everything(request)
    async with request.changing("admin") as services:
        _, version = await services.pauses.pause(None if everything else request.environment_id)
    await wait_until_applied(request.pool, version)
    return see_other(_back(request, everything), "paused")


async def resume(request: DashboardRequest) -> web.Response:
    """Resume sending for this environment, or for all of them."""
    everything = await _everything(request)
    async with request.changing("admin") as services:
        left = await services.pauses.resume(None if everything else request.environment_id)
    flash = "resumed_in_part" if left.still_paused else "resumed"
    return see_other(_back(request, everything), flash)


def chart(points: Sequence[Point], backlog: Sequence[BacklogPoint]) -> str:
    """Return JSON for the charts, with one column each.

    The columns are times in Unix seconds, attempts that were delivered and that failed in each
    interval, the 95th percentile of durations in milliseconds, and pending deliveries by state.
    Numbers of attempts and not rates: one event an hour would be 0.0 a second.
    """
    columns: dict[str, list[float | None]] = {
        "times": [int(point.at.timestamp()) for point in points],
        "delivered": [point.delivered for point in points],
        "failed": [point.failed for point in points],
        "p95": [point.p95_ms for point in points],
        "due": [point.due for point in backlog],
        "scheduled": [point.scheduled for point in backlog],
        "held": [point.held for point in backlog],
    }
    return orjson.dumps(
        {n: [v if v is None else round(v, 3) for v in column] for n, column in columns.items()}
    ).decode()


def stretches(numbers: Sequence[int]) -> str:
    """Return sorted numbers as ranges, as in `0-7, 12`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, stretch)) for stretch in ranges)


async def _everything(request: DashboardRequest) -> bool:
    """Return True if the form asks for all environments and the token may see them."""
    asks_for_all = (await request.fields()).get("of") == "all"
    return asks_for_all and request.sees_all


def _back(request: DashboardRequest, everything: bool) -> str:
    return request.url("overview", {"of": "all"} if everything else None)


PAGES = (
    ("GET", "overview", overview),
    ("POST", "pause", pause),
    ("POST", "resume", resume),
)
