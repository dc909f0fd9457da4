"""`make bench`: what the README says about speed, measured here and now.

python -m tests.bench [throughput] [latency] [--rounds N] [--number N]
"""

import argparse
import asyncio
import sys

from tests.bench import latency, stage, throughput


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = ("throughput", "latency")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all by default"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--number", type=int, default=15_000, help="deliveries a round of throughput"
    )
    args = parser.parse_args()
    unknown = set(args.names) - set(names)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    with stage.database() as dsn:
        stage.dispatcher(dsn, "migrate")
        for name in args.names or names:
            _say(name)
            if name == "throughput":
                for fan_out in (1, 10):
                    _say(
                        *asyncio.run(
                            throughput.measure(
                                dsn, rounds=args.rounds, number=args.number, fan_out=fan_out
                            )
                        )
                    )
            else:
                _say(*asyncio.run(latency.measure(dsn, rounds=args.rounds, number=500)))


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
