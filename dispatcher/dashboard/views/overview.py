"""The overview: how sending goes, what waits, and who sends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web

from dispatcher.dashboard.request import Visit, see_other
from dispatcher.services.overview import Point, Summary

SHORTEST: Final = 10.0
"""Seconds: what has just begun is not taken for a speed."""
SILENT: Final = 1.2
"""Seconds without a heartbeat after which others may take over."""


@dataclass(frozen=True, slots=True)
class Range:
    """What the charts show: points so many seconds wide."""

    name: str
    title: str
    width: int


RANGES: Final = (Range("hour", "Last hour", 60), Range("day", "Last 24 hours", 600))


async def overview(visit: Visit) -> web.Response:
    everywhere = visit.sees_all
    of_all = everywhere and visit.request.query.get("of") == "all"
    shown = RANGES[visit.request.query.get("range") == "day"]
    service = visit.office.overview(visit.pool)
    summary = await service.summary(None if of_all else visit.environment_id)
    points = summary.day if shown.name == "day" else summary.hour
    daemons = await service.daemons() if everywhere else ()
    return visit.page(
        "overview.html",
        summary=summary,
        everywhere=everywhere,
        of_all=of_all,
        shown=shown,
        ranges=RANGES,
        points=points,
        chart=chart(summary, points, shown.width),
        table=visit.request.query.get("as") == "table",
        daemons=[(daemon, stretches(daemon.shards)) for daemon in daemons],
        later=sum(daemon.in_heap or 0 for daemon in daemons),
        silent=SILENT,
    )


async def pause(visit: Visit) -> web.Response:
    everything = await _everything(visit)
    async with visit.changing("admin") as session:
        pauses = visit.office.pauses(session, visit.actor)
        await pauses.pause(None if everything else visit.environment_id)
    return see_other(_back(visit, everything), "paused")


async def resume(visit: Visit) -> web.Response:
    everything = await _everything(visit)
    async with visit.changing("admin") as session:
        pauses = visit.office.pauses(session, visit.actor)
        await pauses.resume(None if everything else visit.environment_id)
    return see_other(_back(visit, everything), "resumed")


def chart(summary: Summary, points: Sequence[Point], width: int) -> str:
    """JSON for the charts: times, what was delivered and what failed a second, milliseconds."""
    seconds = [
        min(float(width), max(SHORTEST, (summary.at - point.at).total_seconds()))
        for point in points
    ]
    columns: dict[str, list[float | None]] = {
        "times": [int(point.at.timestamp()) for point in points],
        "delivered": [p.delivered / s for p, s in zip(points, seconds, strict=True)],
        "failed": [p.failed / s for p, s in zip(points, seconds, strict=True)],
        "p95": [point.p95_ms for point in points],
    }
    return orjson.dumps(
        {n: [v if v is None else round(v, 3) for v in column] for n, column in columns.items()}
    ).decode()


def stretches(numbers: Sequence[int]) -> str:
    """`0-7, 12`, from numbers in order."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, stretch)) for stretch in found)


async def _everything(visit: Visit) -> bool:
    """Whether all environments are meant, which only who may see all of them can say."""
    wanted = (await visit.fields()).get("of") == "all"
    return wanted and visit.sees_all


def _back(visit: Visit, everything: bool) -> str:
    return visit.url("overview", {"of": "all"} if everything else None)


PAGES = (
    ("GET", "overview", overview),
    ("POST", "pause", pause),
    ("POST", "resume", resume),
)
