"""All bars in one run: a table with pass or short, JSON, and charts in docs/benchmarks."""

import asyncio
import json
import os
import platform
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic

from tests.bench import (
    charts,
    daemons,
    door,
    insert,
    latency,
    pages,
    quiet,
    scale,
    server_share,
    shapes,
    single_events,
    stage,
    steps,
    throughput,
    transport,
    yardsticks,
)
from tests.bench.figures import Figure, Report, reasons, table
from tests.bench.sizes import Sizes

NAMES = (
    "transport",
    "latency",
    "throughput",
    "shapes",
    "daemons",
    "insert",
    "door",
    "single",
    "server",
    "pages",
    "scale",
)
FAN_OUTS = (1, 10)
COUNTED = ("latency", "server, fan-out 1", "server, fan-out 10")
"""Their servers have pg_stat_statements."""
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


def run(say: Say, json_path: Path, names: Collection[str], sizes: Sizes) -> None:
    """Measure `names`, print the figures, and write all: those of others are kept from the last run.

    The page and the charts of the documents are of whole runs only.
    """
    began = monotonic()
    measured: list[Figure] = []
    for title, report in _reports(say, names, sizes):
        say(f"{title} ({monotonic() - began:.0f} s)", *report.lines)
        measured += report.figures
    is_whole = set(names) == set(NAMES)
    figures = measured if is_whole else _merged(json_path, measured)
    say("bars", *table(figures), "why bars are short", *reasons(figures))
    say(f"  measured in {monotonic() - began:.0f} s")
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(_document(figures), indent=2) + "\n", encoding="utf-8")
    say(f"  {json_path} is written")
    if is_whole:
        CHARTS.mkdir(parents=True, exist_ok=True)
        (CHARTS / "last_run.md").write_text(_page(figures), encoding="utf-8")
        _draw(figures)
        say(f"  the page and the charts in {CHARTS} are written")


def _page(figures: Sequence[Figure]) -> str:
    """Return the page of the last run: all bars, and why those are short that are."""
    parts = (
        "# The last run of `make bench`",
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores."
        " [Benchmarks](../benchmarks.md) says what each figure means.",
        "\n".join(["```", *table(figures), "```"]),
        "## Why bars are short",
        "\n".join(["```", *reasons(figures), "```"]),
    )
    return "\n\n".join(parts) + "\n"


def _reports(say: Say, names: Collection[str], sizes: Sizes) -> Iterator[tuple[str, Report]]:
    """Yield the reports of the benchmarks `names`, each on a new database that has come to rest."""
    if "transport" in names:
        yield (
            "transport",
            asyncio.run(transport.measure(rounds=sizes.rounds, steps=steps.measure())),
        )
    python = yardsticks.install() if "throughput" in names else None
    if python is None and "throughput" in names:
        say(f"PgQueuer and Procrastinate are left out: {yardsticks.REQUIREMENTS} was not installed")
    for name, part in _parts(sizes, python).items():
        if name.partition(",")[0] in names:
            with stage.database(**server_share.SERVER if name in COUNTED else {}) as dsn:
                stage.dispatcher(dsn, "migrate")
                asyncio.run(quiet.settle(dsn))
                yield name, asyncio.run(part(dsn))


def _parts(
    sizes: Sizes, python: str | None
) -> dict[str, Callable[[str], Coroutine[None, None, Report]]]:
    """Return what is measured, by name, in its order. Those that others could disturb come first."""
    rounds, number = sizes.rounds, sizes.number
    few = min(rounds, FEW_ROUNDS)
    return {
        "latency": lambda dsn: latency.measure(dsn, rounds=rounds, number=LATENCIES),
        **{
            f"throughput, fan-out {fan_out}": partial(
                throughput.measure,
                rounds=rounds,
                number=sizes.steady,
                fan_out=fan_out,
                python=python,
            )
            for fan_out in FAN_OUTS
        },
        "shapes": lambda dsn: shapes.measure(dsn, rounds=rounds, number=number),
        "daemons": lambda dsn: daemons.measure(dsn, rounds=few, number=number),
        "insert": lambda dsn: insert.measure(dsn, rounds=few),
        "door": door.measure,
        "single": single_events.measure,
        **{
            f"server, fan-out {fan_out}": partial(
                server_share.measure, rounds=few, number=number, fan_out=fan_out
            )
            for fan_out in FAN_OUTS
        },
        "pages": lambda dsn: pages.measure(dsn, rounds=rounds),
        "scale": lambda dsn: scale.measure(dsn, sizes, rounds=few),
    }


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
