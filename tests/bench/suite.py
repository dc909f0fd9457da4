"""All bars in one run: a table with pass or short, JSON, and charts in docs/benchmarks."""

import asyncio
import json
import os
import platform
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from tests.bench import (
    charts,
    daemons,
    door,
    insert,
    latency,
    pages,
    server_share,
    shapes,
    stage,
    throughput,
    transport,
    yardsticks,
)
from tests.bench.figures import Figure, Report, table

NAMES = (
    "transport",
    "throughput",
    "shapes",
    "daemons",
    "latency",
    "insert",
    "door",
    "server",
    "pages",
)
FAN_OUTS = (1, 10)
FEW_ROUNDS = 3
"""For what takes long."""
LATENCIES = 500
CHARTS = Path(__file__).parents[2] / "docs" / "benchmarks"
CHARTED = "deliveries/s, fan-out 1, "
LABELS = {
    "ours": "Dispatcher",
    "bare": "aiohttp, nothing stored",
    "pgqueuer": "PgQueuer worker",
    "procrastinate": "Procrastinate worker",
}

Say = Callable[..., None]


def run(say: Say, json_path: Path, names: Collection[str], *, rounds: int, number: int) -> None:
    """Measure `names`, and print and write all figures: others are kept from the last run."""
    began = monotonic()
    measured: list[Figure] = []
    for title, report in _reports(say, names, rounds, number):
        say(title, *report.lines)
        measured += report.figures
    figures = _merged(json_path, measured)
    say("bars", *table(figures), f"  measured in {monotonic() - began:.0f} s")
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(_document(figures), indent=2) + "\n", encoding="utf-8")
    _draw(figures)
    say(f"  {json_path} and the charts in {CHARTS} are written")


def _reports(
    say: Say, names: Collection[str], rounds: int, number: int
) -> Iterator[tuple[str, Report]]:
    if "transport" in names:
        yield "transport", asyncio.run(transport.measure(rounds=rounds))
    if {"throughput", "shapes", "latency", "insert", "door"} & set(names):
        yield from _delivery_reports(say, names, rounds, number)
    if "daemons" in names:
        with stage.database() as dsn:
            stage.dispatcher(dsn, "migrate")
            measured = daemons.measure(dsn, rounds=min(rounds, FEW_ROUNDS), number=number)
            yield "daemons", asyncio.run(measured)
    if "server" in names:
        yield from _server_reports(min(rounds, FEW_ROUNDS), number)
    if "pages" in names:
        with stage.database() as dsn:
            stage.dispatcher(dsn, "migrate")
            yield "pages", asyncio.run(pages.measure(dsn, rounds=rounds))


def _delivery_reports(
    say: Say, names: Collection[str], rounds: int, number: int
) -> Iterator[tuple[str, Report]]:
    """Yield the reports of what is measured on one database."""
    python = yardsticks.install() if "throughput" in names else None
    if python is None and "throughput" in names:
        say(f"PgQueuer and Procrastinate are left out: {yardsticks.REQUIREMENTS} was not installed")
    with stage.database() as dsn:
        stage.dispatcher(dsn, "migrate")
        for fan_out in FAN_OUTS if "throughput" in names else ():
            turns = throughput.measure(
                dsn, rounds=rounds, number=number, fan_out=fan_out, python=python
            )
            yield f"throughput, fan-out {fan_out}", asyncio.run(turns)
        few = min(rounds, FEW_ROUNDS)
        parts: dict[str, Callable[[], Coroutine[None, None, Report]]] = {
            "shapes": lambda: shapes.measure(dsn, rounds=rounds, number=number),
            "latency": lambda: latency.measure(dsn, rounds=rounds, number=LATENCIES),
            "insert": lambda: insert.measure(dsn, rounds=few),
            "door": lambda: door.measure(dsn),
        }
        for name, part in parts.items():
            if name in names:
                yield name, asyncio.run(part())


def _server_reports(rounds: int, number: int) -> Iterator[tuple[str, Report]]:
    with stage.database(**server_share.SERVER) as dsn:
        stage.dispatcher(dsn, "migrate")
        for fan_out in FAN_OUTS:
            measured = server_share.measure(dsn, rounds=rounds, number=number, fan_out=fan_out)
            yield f"server, fan-out {fan_out}", asyncio.run(measured)


def _merged(json_path: Path, measured: Sequence[Figure]) -> list[Figure]:
    """Return the figures of the file, those that were measured now replaced."""
    if not json_path.exists():
        return list(measured)
    document = json.loads(json_path.read_text(encoding="utf-8"))
    kept = {figure.name: figure for figure in map(Figure.from_json, document["figures"])}
    return list((kept | {figure.name: figure for figure in measured}).values())


def _document(figures: Sequence[Figure]) -> dict[str, object]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "figures": [figure.as_json() for figure in figures],
    }


def _draw(figures: Sequence[Figure]) -> None:
    """Write the charts: deliveries a second, and each figure as a share of its bar."""
    rates = [
        (LABELS[name], figure.value, name == "ours")
        for figure in figures
        if (name := figure.name.removeprefix(CHARTED)) in LABELS and figure.unit == "/s"
    ]
    charts.write(CHARTS / "deliveries.svg", "Deliveries a second to one endpoint", "/s", rates)
    shares = [
        (figure.name, _share(figure), figure.verdict == "pass") for figure in figures if figure.bar
    ]
    charts.write(CHARTS / "bars.svg", "Figures against their bars: 1 or more is a pass", "", shares)


def _share(figure: Figure) -> float:
    """Return how far a bar is met, 1 if just so."""
    assert figure.bar
    return figure.bar / figure.value if figure.at_most else figure.value / figure.bar
