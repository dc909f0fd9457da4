"""The transport alone against a bare aiohttp session.

    python -m tests.bench.transport posts URL NUMBER CONCURRENCY    prints seconds, and those of CPU

Both clients POST the same body with as many headers to the same receiver, in turn, each in a
process of its own.
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from itertools import repeat
from statistics import median
from time import monotonic, process_time

import uvloop

from dispatcher.core.model import Response
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.bench import stage
from tests.bench.bare import BODY
from tests.bench.figures import Figure, Report

CONCURRENCY = 32
NUMBER = 50_000
CPU_BAR_US = 12
RATIO_BAR = 5
HEADERS: dict[str, str] = {}
VARYING = {
    "X-Dispatcher-Event": "user.created",
    "X-Dispatcher-Delivery": "dlv_385000000000000001",
    "X-Dispatcher-Attempt": "1",
    "X-Dispatcher-Signature": "sha256=" + "ab" * 32,
    "webhook-id": "evt_385000000000000001",
    "webhook-timestamp": "1772107200",
    "webhook-signature": "v1," + "ab" * 22,
}
NAMES, VALUES = tuple(VARYING), tuple(VARYING.values())
"""The headers of a delivery with the schemes that are the default."""


def new_sender(concurrency: int) -> Sender:
    return Sender(
        guard=Guard(parse_allow(["127.0.0.0/8"])),
        connect_timeout=5.0,
        body_limit=16 * 1024,
        concurrency=concurrency,
        user_agent="Dispatcher-Webhook/1.0",
    )


async def posts(url: str, number: int, concurrency: int) -> float:
    """Return the seconds that `number` POSTs take, `concurrency` of them at a time."""
    async with new_sender(concurrency) as sender:
        turns = iter(repeat(None, number))
        began = monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(_post_all(sender, url, turns))
        return monotonic() - began


async def _post_all(sender: Sender, url: str, turns: Iterator[None]) -> None:
    for _ in turns:
        answer = await sender.post(
            Post(url, HEADERS, BODY, timeout=15.0, names=NAMES, values=VALUES)
        )
        if not isinstance(answer, Response) or answer.status != 200:
            raise AssertionError(f"not delivered: {answer}")


async def measure(*, rounds: int, steps: Sequence[str], number: int = NUMBER) -> Report:
    """Return the CPU of a POST, against that of the bare client. `steps` say what a POST is made of."""
    lines, ratios, costs = [], [], []
    async with stage.receiving() as receiver:
        for _ in range(rounds):
            bare, bare_cpu = await run("tests.bench.bare", receiver, number)
            ours, ours_cpu = await run("tests.bench.transport", receiver, number)
            costs.append(ours_cpu)
            ratios.append(bare_cpu / ours_cpu)
            lines.append(
                f"  {ours:7.0f}/s at {ours_cpu:.1f} µs of CPU a POST, bare aiohttp {bare:7.0f}/s "
                f"at {bare_cpu:.1f} µs, ratios {ours / bare:.1f} and {ratios[-1]:.1f}"
            )
    why = tuple(line.strip() for line in steps)
    return Report(
        lines,
        [
            Figure("CPU of the transport a POST", median(costs), "µs", CPU_BAR_US, why=why),
            Figure(
                "CPU a POST, bare aiohttp against ours",
                median(ratios),
                "times",
                RATIO_BAR,
                at_most=False,
                why=why,
            ),
        ],
    )


async def run(module: str, receiver: stage.Receiver, number: int) -> tuple[float, float]:
    """Return POSTs a second, and microseconds of CPU a POST."""
    command = ("-m", module, "posts", receiver.url, str(number), str(CONCURRENCY))
    async with stage.process(*command) as client:
        assert client.stdout is not None
        seconds, cpu = map(float, (await client.stdout.read()).split())
    return number / seconds, cpu / number * 1e6


async def main(_: str, url: str, *args: str) -> None:
    began = process_time()
    seconds = await posts(url, int(args[0]), int(args[1]))
    print(seconds, process_time() - began)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
