"""`make bench`: what docs/benchmarks.md says about speed, measured here and now.

python -m tests.bench [steps] [transport] [secure] [throughput] [latency] [server] [insert] [door] [scale] [listing]
  [--rounds N] [--number N]
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator

from tests.bench import (
    door,
    insert,
    latency,
    listing,
    scale,
    secure,
    server_share,
    stage,
    steps,
    throughput,
    transport,
)

DEFAULT = ("throughput", "latency")
NAMES = (
    "steps",
    "transport",
    "server",
    "scale",
    "secure",
    *DEFAULT,
    "insert",
    "door",
    "listing",
)  # in this order: filling a history takes minutes, and fsync is off for it


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    unknown = set(args.names) - set(NAMES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    wanted = [name for name in NAMES if name in (args.names or DEFAULT)]
    for name in [name for name in wanted if name in ALONE]:
        wanted.remove(name)
        _say(name)
        ALONE[name](args)
    if not wanted:
        return
    with stage.database() as dsn:
        stage.dispatcher(dsn, "migrate")
        for name in wanted:
            _say(name)
            for lines in _measured(name, dsn, args.rounds, args.number):
                _say(*lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; by default {' and '.join(DEFAULT)}",
    )
    for name, number, what in (
        ("rounds", 5, "of each measurement"),
        ("number", 15_000, "deliveries a round of throughput, server and scale"),
        ("ended", listing.DELIVERIES, "ended deliveries of scale: 1.2 times as many attempts"),
        ("pending", 1_000_000, "pending deliveries of scale"),
        ("at-once", 100_000, "deliveries of scale that are due at one moment"),
    ):
        parser.add_argument(f"--{name}", type=int, default=number, help=what)
    return parser


def _say_steps(_: argparse.Namespace) -> None:
    _say(*steps.measure())


def _say_transport(args: argparse.Namespace) -> None:
    _say(*asyncio.run(transport.measure(rounds=args.rounds, number=50_000)))


def _say_server(args: argparse.Namespace) -> None:
    with stage.database(**server_share.SERVER) as dsn:
        stage.dispatcher(dsn, "migrate")
        for fan_out in (1, 10):
            lines = server_share.measure(
                dsn, rounds=args.rounds, number=args.number, fan_out=fan_out
            )
            _say(*asyncio.run(lines))


def _say_scale(args: argparse.Namespace) -> None:
    with stage.database() as dsn:
        stage.dispatcher(dsn, "migrate")
        empty = asyncio.run(scale.prepare(dsn, deliveries=args.ended, pending=args.pending))
        measured = scale.measure(
            dsn, empty, rounds=args.rounds, number=args.number, at_once=args.at_once
        )
        _say(*asyncio.run(measured))


ALONE = {
    "steps": _say_steps,
    "transport": _say_transport,
    "server": _say_server,
    "scale": _say_scale,
}
"""Benchmarks without a database, or with one of their own."""


def _measured(name: str, dsn: str, rounds: int, number: int) -> Iterator[list[str]]:
    if name == "throughput":
        for fan_out in (1, 10):
            yield asyncio.run(
                throughput.measure(dsn, rounds=rounds, number=number, fan_out=fan_out)
            )
    elif name == "secure":
        yield asyncio.run(secure.measure(dsn, rounds=rounds, number=number))
    elif name == "latency":
        yield asyncio.run(latency.measure(dsn, rounds=rounds, number=500))
    elif name == "insert":
        yield asyncio.run(insert.measure(dsn, rounds=rounds))
    elif name == "door":
        yield asyncio.run(door.measure(dsn))
    else:
        yield asyncio.run(listing.measure(dsn))


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
