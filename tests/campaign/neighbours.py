"""What hostile neighbours cost a healthy tenant: deliveries, answers, memory, readiness.

Rounds beside a neighbour alternate with rounds alone, in the same run, for the machine has other
things to do as well. The samples of all rounds of a kind are taken together: the slowest hundredth of
one round is three samples, and differs by a factor of two where nothing else is done. All of it is played in a network of its own, with a name server that says nothing.
"""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import aiohttp

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from tests.bench import stage
from tests.bench.neighbours import WEBHOOKS, answering, rss_mib
from tests.campaign.floods import FLOODS, GROUPS, SAFE, Orders
from tests.campaign.weighing import Figure
from tests.conftest import Connection, connected
from tests.network_server import free_port

SECONDS = 8.0
ROUNDS = 3
"""Rounds beside each neighbour; a short campaign has one. There is one more alone."""
SECONDS_SHORT = 4.0
RATIO = 1.5
NOISE_SECONDS = 0.03
"""By so much the slowest of a hundred may differ in a short campaign, which runs beside other tests."""
KEPT_MIB = 32
SETTLED_WITHIN_SECONDS = 40.0
NAMES = 200
ISOLATED = "ip link set lo up && mount --bind {resolv} /etc/resolv.conf && exec {python} -m tests.campaign.neighbours"
ATTEMPTS = "SELECT count(*)::int FROM dispatcher.attempts WHERE environment_id = 'a'"
TENANTS = "INSERT INTO dispatcher.environments (id, name) VALUES ('a', 'a'), ('b', 'b')"
MANY = """
WITH made AS (
  INSERT INTO dispatcher.endpoints (id, environment_id, version, name, url, secret, active, metadata)
  SELECT gen_random_uuid(), 'a', 0, 'many ' || n, 'http://127.0.0.1/', '', false,
         json_build_object('x', repeat('x', 8000)) FROM generate_series(1, $1::int) AS n RETURNING id)
INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id) SELECT 'a', 'x.y', id FROM made
"""
FEW = "DELETE FROM dispatcher.endpoints WHERE name LIKE 'many %'"
ENDED = "UPDATE dispatcher.endpoints SET active = false WHERE environment_id = 'a'"


@dataclass(slots=True)
class Round:
    """Seconds from commit to arrival and of answers; `ready`: what /readyz said."""

    sent: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    missing: int = 0
    refused: int = 0
    ready: list[bool] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Scene:
    connection: Connection
    orders: Orders
    tokens: dict[str, str]
    receiver: stage.Receiver
    daemon: int
    seconds: float
    rounds: int
    noise_seconds: float


async def measure(scene: Scene) -> Round:
    """One round of the healthy tenant."""
    orders = replace(scene.orders, token=scene.tokens["b"], seconds=scene.seconds)
    await scene.receiver.ask("times")
    async with working("victim", orders) as process:
        assert process.stdout is not None
        measurement = Round()
        watching = asyncio.create_task(_watch(scene, measurement))
        report = json.loads(await process.stdout.readline())
        watching.cancel()
    await asyncio.sleep(0.5)
    arrived = await scene.receiver.ask("times")
    emitted = report["emitted"]
    measurement.sent = [arrived[name] - at for name, at in emitted.items() if name in arrived]
    measurement.missing = len(emitted) - len(measurement.sent)
    measurement.asked = report["asked"]
    measurement.refused = sum(n for status, n in report["answers"].items() if status != "200")
    return measurement


async def _watch(scene: Scene, measurement: Round) -> None:
    async with aiohttp.ClientSession(scene.orders.address) as session:
        while True:
            ready = False
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get("/readyz", timeout=aiohttp.ClientTimeout(2)) as answer:
                    ready = answer.status == 200
            measurement.ready.append(ready)
            measurement.rss.append(rss_mib(scene.daemon))
            await asyncio.sleep(0.5)


@asynccontextmanager
async def working(name: str, orders: Orders) -> AsyncIterator[asyncio.subprocess.Process]:
    async with stage.process("-m", "tests.campaign.floods", name) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(orders)).encode() + b"\n")
        yield process


async def beside(scene: Scene, name: str) -> tuple[str, list[str]]:
    """Return the figures of one neighbour, and what was promised and not kept."""
    before_mib = after_mib = rss_mib(scene.daemon)
    attempts = await scene.connection.fetchval(ATTEMPTS)
    alone, during, broken = [await measure(scene)], [], []
    for _ in range(scene.rounds):
        await prepare(scene, name)
        async with working(name, replace(scene.orders, token=scene.tokens["a"])) as flood:
            await asyncio.sleep(2)
            during.append(await measure(scene))
            if flood.returncode is not None:
                broken.append("the flood itself ended")
        await scene.connection.execute(ENDED)
        await scene.connection.execute(FEW)
        after_mib = await _settled(scene, before_mib + KEPT_MIB)
        alone.append(await measure(scene))
    attempts = await scene.connection.fetchval(ATTEMPTS) - attempts
    figures = [f"{attempts} attempts to the neighbour's receivers"] if attempts else []
    for figure in (
        *_times(alone, during, scene.noise_seconds),
        _memory(before_mib, during, after_mib),
        _ready(during),
    ):
        figures.append(figure.text)
        broken += [] if figure.kept else [figure.text]
    missing = sum(measurement.missing for measurement in (*alone, *during))
    refused = sum(measurement.refused for measurement in during)
    broken += [f"{missing} not sent"] * bool(missing)
    broken += [f"{refused} not answered with 200"] * bool(refused)
    return f"{name}: {', '.join(figures)}", [f"{name}: {violation}" for violation in broken]


def _times(
    alone: Sequence[Round], during: Sequence[Round], noise_seconds: float
) -> Iterator[Figure]:
    """Compare the times of deliveries and of answers."""
    for what in ("sent", "asked"):
        p50, p99 = quantiles([t for measurement in alone for t in getattr(measurement, what)])
        here50, here99 = quantiles(
            [t for measurement in during for t in getattr(measurement, what)]
        )
        each99 = [quantiles(getattr(measurement, what))[1] for measurement in alone]
        yield Figure(
            f"{what} p50 {p50 * 1000:.1f} / {here50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} /"
            f" {here99 * 1000:.1f} ms ({here99 / p99:.2f}, noise {max(each99) / min(each99):.2f})",
            kept=here99 <= max(p99 * RATIO, p99 + noise_seconds),
        )


def _memory(before_mib: int, during: Sequence[Round], after_mib: int) -> Figure:
    peak_mib = max((mib for measurement in during for mib in measurement.rss), default=0)
    return Figure(
        f"RSS {before_mib} / {peak_mib} / {after_mib} MiB", kept=after_mib <= before_mib + KEPT_MIB
    )


def _ready(during: Sequence[Round]) -> Figure:
    answers = [is_ready for measurement in during for is_ready in measurement.ready]
    return Figure(f"ready {sum(answers)} of {len(answers)}", kept=all(answers))


async def prepare(scene: Scene, name: str) -> None:
    """Give the neighbour his webhooks or his rights."""
    urls: dict[str, tuple[str, dict[str, Any]]] = {}
    match name:
        case "receivers":
            urls = {url: (f"flood.any.g{n % GROUPS}", {}) for n, url in enumerate(HOSTILE)}
        case "names":
            urls = {f"https://h{n}.silent.test/": ("flood.name", {}) for n in range(NAMES)}
        case "squatter":
            urls = {f"{scene.receiver.url}/ordered": ("flood.ordered", {"ordered": True})}
        case "public":
            await scene.connection.execute("GRANT CREATE ON SCHEMA public TO shop")
        case "listings":
            await scene.connection.execute(MANY, WEBHOOKS)
    for url, (type_, more) in urls.items():
        await asked(scene, "a", "/api/webhooks", {"url": url, "events": [type_], **more})


async def asked(scene: Scene, tenant: str, path: str, form: dict[str, Any]) -> None:
    """POST to the API as this tenant."""
    headers = {"Authorization": f"Bearer {scene.tokens[tenant]}"}
    async with (
        aiohttp.ClientSession(scene.orders.address, headers=headers) as session,
        session.post(path, json=form) as answer,
    ):
        assert answer.status in (200, 201), await answer.text()


HOSTILE: list[str] = []
"""The URLs of the catalogue of hostile receivers."""


async def _settled(scene: Scene, most_mib: int) -> int:
    for _ in range(int(SETTLED_WITHIN_SECONDS)):
        if rss_mib(scene.daemon) <= most_mib:
            break
        await asyncio.sleep(1)
    return rss_mib(scene.daemon)


def quantiles(times: list[float]) -> tuple[float, float]:
    """The median and the hundredth that is slowest."""
    if not times:
        return float("inf"), float("inf")
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


@asynccontextmanager
async def scene_of(
    dsn: str, *, short: bool, settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Scene]:
    """Yield the scene; `settings` of the daemon are environment variables, without their prefix."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(dsn))
        await asyncio.to_thread(stage.dispatcher, dsn, "migrate")
        await connection.execute(TENANTS)
        await connection.execute(SAFE)  # one of the neighbours sets traps in schema public
        await connection.execute("CREATE ROLE shop LOGIN IN ROLE dispatcher_producer")
        tokens = {
            environment: stage.dispatcher(
                dsn,
                "token",
                "create",
                "--environment",
                environment,
                "--scope",
                "admin",
                "--name",
                environment,
                "--json",
            )["token"]
            for environment in ("a", "b")
        }
        receiver = await stack.enter_async_context(stage.receiving())
        certificates = stack.enter_context(TemporaryDirectory())
        command = ("-m", "tests.hostile_receivers", certificates)
        hostile = await stack.enter_async_context(stage.process(*command))
        assert hostile.stdout is not None
        HOSTILE[:] = json.loads(await hostile.stdout.readline()).values()
        port = free_port()
        environ = {**stage.environment(dsn), "DISPATCHER_ADMIN__PORT": str(port)}
        environ["DISPATCHER_LIMITS__WEBHOOKS"] = "10000"  # each round makes its own
        environ |= {f"DISPATCHER_{name}": value for name, value in settings.items()}
        daemon = await stack.enter_async_context(
            stage.process("-m", "dispatcher", "run", env=environ)
        )
        address = f"http://127.0.0.1:{port}"
        await answering(address)
        orders = Orders(dsn, dsn.replace("postgres@", "shop@", 1), address, "")
        length = (SECONDS_SHORT, 1, NOISE_SECONDS) if short else (SECONDS, ROUNDS, 0.0)
        scene = Scene(connection, orders, tokens, receiver, daemon.pid, *length)
        healthy = {"url": f"{receiver.url}/healthy", "events": ["victim.event"]}
        await asked(scene, "b", "/api/webhooks", healthy)
        yield scene


async def play_all(dsn: str, names: list[str], *, short: bool) -> None:
    """Print for each neighbour a line of JSON: the figures, and what was not kept."""
    async with scene_of(dsn, short=short) as scene:
        await measure(scene)  # for nothing: what is slow only the first time
        for name in names:
            print(json.dumps(await beside(scene, name)), flush=True)


async def play(
    directory: Path, server: EmbeddedPostgres, chance: Random, *, short: bool
) -> tuple[str, list[str]]:
    """Figures, and what was promised and not kept."""
    resolv = directory / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.2\n")
    names, isolated = list(FLOODS), _isolated(resolv)
    if not isolated:
        names.remove("names")
        isolated = [sys.executable, "-m", "tests.campaign.neighbours"]
    process = await asyncio.create_subprocess_exec(
        *isolated, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps([server.dsn, names, short]).encode())
    figures, broken = [], []
    for line in output.decode().splitlines():
        figure, violations = json.loads(line)
        figures.append(figure)
        broken += violations
    if len(figures) < len(names):
        broken.append(f"it ended after {len(figures)} of {len(names)}, see above")
    return f"{len(figures)} neighbours: alone / beside\n    " + "\n    ".join(figures), broken


def _isolated(resolv: Path) -> list[str]:
    """The command in a network of its own; nothing if this user may not make one."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return []
    script = ISOLATED.format(resolv=resolv, python=sys.executable)
    made = ["unshare", "--net", "--mount", "sh", "-c"]
    if subprocess.run([*made, "ip link set lo up"], check=False, capture_output=True).returncode:
        return []
    return [*made, script]


async def _main() -> None:
    dsn, names, short = json.loads(sys.stdin.read())
    if "names" in names:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.2", 53))
    await play_all(dsn, names, short=short)


if __name__ == "__main__":
    asyncio.run(_main())
