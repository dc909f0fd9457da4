"""`make bench`: what docs/benchmarks.md says about speed, measured here and now.

python -m tests.bench           all bars in less than ten minutes: transport latency throughput shapes
                                daemons insert door single server pages scale
python -m tests.bench NAME…     only these, or steps, secure, listing
"""

import argparse
import asyncio
import sys
from collections.abc import Collection
from pathlib import Path

from tests.bench import listing, secure, stage, steps, suite
from tests.bench.sizes import Sizes

OTHERS = ("steps", "secure", "listing")
"""They are not in the suite. listing is last: filling a history takes minutes, and fsync is off for it."""


def main() -> None:
    args = _arguments()
    sizes = Sizes(args.rounds, args.number, args.steady, args.ended, args.pending, args.at_once)
    if names := [name for name in suite.NAMES if name in args.names]:
        suite.run(_say, args.json, names, sizes)
    if "steps" in args.names:
        _say("steps", *steps.measure())
    _say_others(args.names, args.rounds, args.number)


def _say_others(names: Collection[str], rounds: int, number: int) -> None:
    if not {"secure", "listing"} & set(names):
        return
    with stage.database() as dsn:
        stage.dispatcher(dsn, "migrate")
        if "secure" in names:
            _say("secure", *asyncio.run(secure.measure(dsn, rounds=rounds, number=number)))
        if "listing" in names:
            _say("listing", *asyncio.run(listing.measure(dsn)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    usual = Sizes()
    for name, number, what in (
        ("rounds", usual.rounds, "of what takes turns"),
        ("number", usual.number, "deliveries a round of most parts"),
        ("steady", usual.steady, "deliveries a round of throughput"),
        ("ended", usual.ended, "ended deliveries of scale: 1.2 times as many attempts"),
        ("pending", usual.pending, "pending deliveries of scale"),
        ("at-once", usual.at_once, "deliveries of scale that are due at one moment"),
    ):
        parser.add_argument(f"--{name}", type=int, default=number, help=what)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="PATH")
    args = parser.parse_args()
    if unknown := set(args.names) - {*suite.NAMES, *OTHERS}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    args.names = args.names or list(suite.NAMES)
    return args


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
