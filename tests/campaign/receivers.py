"""The catalogue of hostile receivers, a hundred POSTs at a time beside a healthy receiver.

python -m tests.campaign.receivers    reads one line of JSON (`Orders`), prints one for each behaviour

The transport runs in a process of its own, and so do the healthy receiver and, at idle priority,
the hostile ones. The healthy receiver is measured alone before each behaviour, in the same run, for
the machine has other things to do as well.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from time import monotonic, thread_time
from typing import Any

import uvloop

from dispatcher.cli.commands.run import collect_garbage_less
from dispatcher.core.model import Response, SendError
from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.bench import stage
from tests.hostile_receivers import CATALOGUE

AT_ONCE = 100
ALONE_SECONDS = 0.2
BESIDE_SECONDS = 0.4
TIMEOUT_SECONDS = 1.0
PATIENT_SECONDS = 30.0
"""For a receiver that answers: one of a hundred at idle priority takes its time."""
PAUSE_SECONDS = 0.5
"""Between two POSTs of a task."""
HEALTHY_PAUSE_SECONDS = 0.002
WARM_UP = ("status-200", "tls-fine", "tls-silent")
"""Played before, so that the memory that a hundred connections take is there already."""
BODY = b'{"event":"user.created","data":{"id":"usr_1"}}'

OVER_SECONDS = 1.0
"""Longest time after its deadline at which a POST may end, and its place be free."""
GROWTH_MIB = 32.0
HELD_SECONDS = 0.1
RATIO = 1.2
NOISE_SECONDS = 0.001
"""A POST to the healthy receiver takes less than this, and a TLS handshake that fails takes more. A
delivery takes 4 to 8 ms."""


@dataclass(frozen=True, slots=True)
class Orders:
    """`names` are the behaviours to play, `urls` those of all; `healthy` is the other receiver's."""

    urls: dict[str, str]
    healthy: str
    names: list[str]


@dataclass(slots=True)
class Found:
    """The effects of a behaviour on us.

    `right` of `posts` verdicts were right; the others are in `wrong`. `over` is the longest time
    that a POST ended after its deadline, `held` the longest time that the loop was held, in
    seconds. `grown` is in MiB. `alone` and `beside` are the times of POSTs to the healthy receiver,
    `work_alone` and `work_beside` the processor time of this process for them: other programs on
    the machine change it little.
    """

    name: str
    posts: int
    wrong: dict[str, int]
    over: float
    left_open: int
    grown: float
    held: float
    alone: list[float]
    beside: list[float]
    work_alone: list[float]
    work_beside: list[float]


@dataclass(slots=True)
class Times:
    """The seconds of each POST to the healthy receiver, our own work for it, the longest hold."""

    took: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    held: float = 0.0


class Healthy:
    """POSTs to the healthy receiver, one after another, and how long the loop was held."""

    def __init__(self, sender: Sender, url: str) -> None:
        self._sender = sender
        self._url = url

    async def measure(self, until: asyncio.Future[Any]) -> Times:
        """Return the times until the future is done."""
        times = Times()
        while not until.done():
            began = thread_time()
            answer = await self._sender.post(Post(self._url, {}, BODY, timeout=PATIENT_SECONDS))
            assert isinstance(answer, Response), answer
            times.took.append(answer.duration)
            slept, worked = monotonic(), thread_time()
            times.worked.append(worked - began)
            await asyncio.sleep(HEALTHY_PAUSE_SECONDS)
            # Not longer than the loop worked: beyond that, other processes had the processor.
            over = monotonic() - slept - HEALTHY_PAUSE_SECONDS
            times.held = max(times.held, min(over, thread_time() - worked))
        return times


async def measure(sender: Sender, healthy: Healthy, name: str, url: str, chance: Random) -> Found:
    """Measure one behaviour, a hundred POSTs at a time."""
    loop = asyncio.get_running_loop()
    behaviour = CATALOGUE[name]
    right = behaviour.verdict.split("|")
    body = body_of(behaviour.body_bytes)
    timeout = TIMEOUT_SECONDS if "timeout" in right else PATIENT_SECONDS
    before = resident_mib()
    done = loop.create_future()
    loop.call_later(ALONE_SECONDS, done.set_result, None)
    alone = await healthy.measure(done)
    wrong: Counter[str] = Counter()
    posts, over = 0, 0.0
    ends = monotonic() + BESIDE_SECONDS

    async def flooded() -> None:
        nonlocal posts, over
        await asyncio.sleep(chance.random() * BESIDE_SECONDS)
        while True:
            began = monotonic()
            answer = await sender.post(Post(url, {}, body, timeout=timeout))
            over = max(over, monotonic() - began - timeout)
            posts += 1
            outcome = verdict(answer)
            if outcome not in right:
                wrong[outcome] += 1
            if monotonic() > ends:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    tasks = asyncio.gather(*(flooded() for _ in range(AT_ONCE)))
    beside = await healthy.measure(tasks)
    await asyncio.sleep(0.05)
    connections = sender._connections
    left_open = len(connections) - len(connections._idle)
    grown = resident_mib() - before
    return Found(
        name, posts, dict(wrong), over, left_open, grown, beside.held, alone.took, beside.took,
        alone.worked, beside.worked,
    )  # fmt: skip


@cache
def body_of(size: int) -> bytes:
    """Return a body, always the same one: only what the transport holds shall be measured."""
    return b"x" * size


def verdict(answer: Response | SendError) -> str:
    return str(answer.status) if isinstance(answer, Response) else answer.code


def resident_mib() -> float:
    """Return the MiB of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def quantile(times: list[float], part: float) -> float:
    return sorted(times)[min(int(len(times) * part), len(times) - 1)]


async def main() -> None:
    orders = Orders(**json.loads(sys.stdin.readline()))
    chance = Random(1)
    async with Sender(
        guard=Guard(parse_allow(["127.0.0.0/8"])),
        connect_timeout=5.0,
        body_limit=16 * 1024,
        concurrency=2 * AT_ONCE,
        user_agent="Dispatcher-Webhook/1.0",
    ) as sender:
        healthy = Healthy(sender, orders.healthy)
        for name, behaviour in CATALOGUE.items():
            body_of(behaviour.body_bytes)
            if name in WARM_UP:
                await measure(sender, healthy, name, orders.urls[name], chance)
        collect_garbage_less()  # as the daemon does
        for name in orders.names:
            finding = await measure(sender, healthy, name, orders.urls[name], chance)
            print(json.dumps(asdict(finding)), flush=True)


async def play(
    directory: Path, server: EmbeddedPostgres, chance: Random, *, short: bool
) -> tuple[str, list[str]]:
    """Play it as one of the campaigns: it needs no server of PostgreSQL."""
    names = chance.sample(sorted(CATALOGUE), 12) if short else list(CATALOGUE)
    trusted = {**os.environ, "SSL_CERT_FILE": str(directory / "root.pem")}
    async with (
        stage.receiving() as healthy,
        stage.process("-m", "tests.hostile_receivers", str(directory)) as hostile,
        stage.process("-m", "tests.campaign.receivers", env=trusted) as client,
    ):
        assert hostile.stdout is not None
        assert client.stdin is not None
        assert client.stdout is not None
        orders = Orders(json.loads(await hostile.stdout.readline()), healthy.url, names)
        client.stdin.write(json.dumps(asdict(orders)).encode() + b"\n")
        findings = [Found(**json.loads(line)) async for line in client.stdout]
    return weigh(findings, names)


def weigh(findings: list[Found], names: list[str]) -> tuple[str, list[str]]:
    """Return the figures, and what was not kept."""
    if len(findings) < len(names):
        return "it ended early, see above", [
            f"{len(findings)} of {len(names)} behaviours were played"
        ]
    broken = [
        f"{finding.name}: {n} times {outcome}"
        for finding in findings
        for outcome, n in finding.wrong.items()
    ]
    for finding in findings:
        if finding.over > OVER_SECONDS:
            broken.append(f"{finding.name}: {finding.over:.2f} s after its deadline")
        if finding.left_open:
            broken.append(f"{finding.name}: {finding.left_open} connections left open")
        if finding.held > HELD_SECONDS:
            broken.append(f"{finding.name}: the loop was held for {finding.held * 1e3:.0f} ms")
        if finding.grown > GROWTH_MIB:
            broken.append(f"{finding.name}: memory grew by {finding.grown:.1f} MiB")
    grown = max(finding.grown for finding in findings)
    alone = [seconds for finding in findings for seconds in finding.alone]
    beside = [seconds for finding in findings for seconds in finding.beside]
    p99 = quantile(alone, 0.99)
    halves = [
        quantile([s for finding in findings[n::2] for s in finding.alone], 0.99) for n in (0, 1)
    ]
    ratio = quantile(beside, 0.99) / p99
    if quantile(beside, 0.99) > max(p99 * RATIO, p99 + NOISE_SECONDS):
        broken.append(f"the healthy receiver's p99 was {ratio:.2f} times that alone")
    figures = (
        f"{len(findings)} behaviours, {sum(finding.posts for finding in findings)} POSTs, "
        f"{sum(sum(finding.wrong.values()) for finding in findings)} wrong verdicts, "
        f"memory +{grown:.1f} MiB by one at most and "
        f"+{sum(finding.grown for finding in findings):.1f} MiB by all, "
        f"loop held {max(finding.held for finding in findings) * 1e3:.0f} ms at most, "
        f"{max(finding.over for finding in findings):.2f} s over a deadline at most, healthy p50 "
        f"{quantile(alone, 0.5) * 1e3:.2f} / {quantile(beside, 0.5) * 1e3:.2f} ms, p99 "
        f"{quantile(alone, 0.99) * 1e3:.2f} / {quantile(beside, 0.99) * 1e3:.2f} ms ({ratio:.2f}, "
        f"noise {halves[0] / halves[1]:.2f}), "
        f"own work for it {_work(findings, 'work_alone')} / {_work(findings, 'work_beside')} ms"
    )
    return figures, broken


def _work(findings: list[Found], which: str) -> str:
    """Return the 99th percentile in ms."""
    worked = [seconds for finding in findings for seconds in getattr(finding, which)]
    return f"{quantile(worked, 0.99) * 1e3:.2f}"


if __name__ == "__main__":
    uvloop.run(main())
