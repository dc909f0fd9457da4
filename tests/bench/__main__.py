"""`make bench`: what docs/benchmarks.md says about speed, measured here and now.

python -m tests.bench [steps] [transport] [secure] [throughput] [latency] [server] [insert] [door] [listing] [--rounds N] [--number N]
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
    "secure",
    *DEFAULT,
    "insert",
    "door",
    "listing",
)  # in this order: filling a history takes minutes, and fsync is off for it


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; by default {' and '.join(DEFAULT)}",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--number", type=int, default=15_000, help="deliveries a round of throughput"
    )
    args = parser.parse_args()
    unknown = set(args.names) - set(NAMES)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    wanted = [name for name in NAMES if name in (args.names or DEFAULT)]
    if "steps" in wanted:
        wanted.remove("steps")
        _say("steps", *steps.measure())
    if "transport" in wanted:
        wanted.remove("transport")
        _say("transport", *asyncio.run(transport.measure(rounds=args.rounds, number=50_000)))
    if "server" in wanted:
        wanted.remove("server")
        _say("server")
        _say_server(args.rounds, args.number)
    if not wanted:
        return
    with stage.database() as dsn:
        stage.dispatcher(dsn, "migrate")
        for name in wanted:
            _say(name)
            for lines in _measured(name, dsn, args.rounds, args.number):
                _say(*lines)


def _say_server(rounds: int, number: int) -> None:
    with stage.database(**server_share.SERVER) as dsn:
        stage.dispatcher(dsn, "migrate")
        for fan_out in (1, 10):
            lines = server_share.measure(dsn, rounds=rounds, number=number, fan_out=fan_out)
            _say(*asyncio.run(lines))


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
