"""The transport alone against a bare aiohttp session, and what floods do beside a healthy receiver.

    python -m tests.bench.transport posts URL NUMBER CONCURRENCY    prints seconds, and those of CPU
    python -m tests.bench.transport flood URL HEALTHY_URL           prints what it did to us, as JSON

Both clients POST the same body with as many headers to the same receiver, in turn, each in a
process of its own.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import repeat
from pathlib import Path
from statistics import median, quantiles
from time import monotonic, process_time

import uvloop

from dispatcher.core.model import Response
from dispatcher.transport.egress import Guard, parse_allow
from dispatcher.transport.sender import Sender
from tests.bench import stage
from tests.bench.bare import BODY
from tests.bench.flooding import FLOODS

CONCURRENCY = 32
FLOODS_AT_ONCE = 100
FLOOD_SECONDS = 4.0
FLOOD_TIMEOUT_SECONDS = 1.0
UNREAD_BYTES = 8 * 1024 * 1024
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
        answer = await sender.post(url, HEADERS, BODY, timeout=15.0, names=NAMES, values=VALUES)
        if not isinstance(answer, Response) or answer.status != 200:
            raise AssertionError(f"not delivered: {answer}")


async def measure(*, rounds: int, number: int) -> list[str]:
    """Return the lines of a report: one a round, and the median ratio."""
    lines, ratios = [], []
    async with stage.receiving() as receiver:
        for _ in range(rounds):
            bare, bare_cpu = await run("tests.bench.bare", receiver, number)
            ours, ours_cpu = await run("tests.bench.transport", receiver, number)
            ratios.append(bare_cpu / ours_cpu)
            lines.append(
                f"  {ours:7.0f}/s at {ours_cpu:.1f} µs of CPU a POST, bare aiohttp {bare:7.0f}/s "
                f"at {bare_cpu:.1f} µs, ratios {ours / bare:.1f} and {ratios[-1]:.1f}"
            )
    return [*lines, f"  median ratio of CPU {median(ratios):.1f} (bar 5)"]


async def run(module: str, receiver: stage.Receiver, number: int) -> tuple[float, float]:
    """Return POSTs a second, and microseconds of CPU a POST."""
    command = ("-m", module, "posts", receiver.url, str(number), str(CONCURRENCY))
    async with stage.process(*command) as client:
        assert client.stdout is not None
        seconds, cpu = map(float, (await client.stdout.read()).split())
    return number / seconds, cpu / number * 1e6


async def floods() -> AsyncIterator[list[str]]:
    """Yield a line of the report for each flood, 100 of it at a time beside a healthy receiver."""
    async with (
        stage.receiving() as healthy,
        stage.process("-m", "tests.bench.flooding") as flooding,
    ):
        assert flooding.stdout is not None
        port = int(await flooding.stdout.readline())
        for name in FLOODS:
            scheme = "https" if name == "handshake" else "http"
            url = f"{scheme}://127.0.0.1:{port}/{name}"
            command = ("-m", "tests.bench.transport", "flood", url)
            async with stage.process(*command, healthy.url) as client:
                assert client.stdout is not None
                told = json.loads(await client.stdout.read())
            yield [
                f"  {name:>9}: {told['floods']} at {FLOODS_AT_ONCE} a time, +{told['grown']:.1f} MiB, "
                f"loop held {told['held']:.0f} ms at most (alone {told['held_alone']:.0f}), healthy p50 "
                f"{told['p50']:.1f} and p99 {told['p99']:.1f} ms (alone {told['p50_alone']:.1f} and "
                f"{told['p99_alone']:.1f}), {told['right']} verdicts right, "
                f"{told['over']:.2f} s over the deadline at most, {told['open']} sockets left"
            ]


async def flood(url: str, healthy: str) -> dict[str, float]:
    """Measure the healthy receiver for some seconds alone, then beside the flood."""
    async with new_sender(FLOODS_AT_ONCE) as sender:
        await _watch(sender, healthy, 0.5)
        before = _resident()
        alone, held_alone = await _watch(sender, healthy, FLOOD_SECONDS)
        ends = monotonic() + FLOOD_SECONDS
        name = url.rpartition("/")[2]
        body = BODY if name != "unread" else b"x" * UNREAD_BYTES
        verdicts: list[str] = []
        over: list[float] = []

        async def flooded() -> None:
            while monotonic() < ends:
                answer = await sender.post(url, HEADERS, body, timeout=FLOOD_TIMEOUT_SECONDS)
                verdicts.append(str(answer.status) if isinstance(answer, Response) else answer.code)
                over.append(answer.duration - FLOOD_TIMEOUT_SECONDS)
                await asyncio.sleep(0.1)

        tasks = [asyncio.create_task(flooded()) for _ in range(FLOODS_AT_ONCE)]
        beside, held = await _watch(sender, healthy, FLOOD_SECONDS)
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.1)
        return {
            "floods": len(verdicts),
            "right": verdicts.count(FLOODS[name][2]),
            "over": max(0.0, *over),
            "open": len(sender._connections) - len(sender._connections._idle),
            "grown": _resident() - before,
            "held": held * 1e3,
            "held_alone": held_alone * 1e3,
            "p50": quantiles(beside, n=100)[49] * 1e3,
            "p99": quantiles(beside, n=100)[98] * 1e3,
            "p50_alone": quantiles(alone, n=100)[49] * 1e3,
            "p99_alone": quantiles(alone, n=100)[98] * 1e3,
        }


async def _watch(sender: Sender, url: str, seconds: float) -> tuple[list[float], float]:
    """Return how long POSTs to the receiver took, and for how long the loop was held at most."""
    took: list[float] = []
    held = 0.0
    ends = monotonic() + seconds
    while monotonic() < ends:
        answer = await sender.post(url, HEADERS, BODY, timeout=15.0)
        took.append(answer.duration)
        slept = monotonic()
        await asyncio.sleep(0.005)
        held = max(held, monotonic() - slept - 0.005)
    return took, held


def _resident() -> float:
    """Return the MiB of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def main(verb: str, url: str, *args: str) -> None:
    if verb == "flood":
        print(json.dumps(await flood(url, args[0])))
        return
    began = process_time()
    seconds = await posts(url, int(args[0]), int(args[1]))
    print(seconds, process_time() - began)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
