"""What one tenant's flood on the admin port costs another: p50 and p99 of the other's GET, in ms.

Each flood is measured between two rounds without it, in the same run, for the machine has other
things to do as well. `python -m tests.bench.neighbours [SECONDS]`.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from tests.bench import stage

WEBHOOKS = 20_000
DOUBLED = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
COSTLY = {"$defs": {**DOUBLED, "a60": {}}, "$ref": "#/$defs/a0"}

Flood = Callable[["Tenant"], Coroutine[Any, Any, None]]


class Tenant:
    """One who asks with a token."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.token = token
        self.answers: dict[int, int] = {}

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(self.address, headers=headers) as opened:
            yield opened

    async def ask(
        self, session: aiohttp.ClientSession, method: str, path: str, **more: Any
    ) -> None:
        async with session.request(method, path, **more) as answer:
            await answer.read()
            self.answers[answer.status] = self.answers.get(answer.status, 0) + 1

    async def loop(self, method: str, path: str, body: Callable[[], Any] = lambda: None) -> None:
        async with self.session() as session:
            while True:
                await self.ask(session, method, path, json=body())


async def nothing(_: Tenant) -> None:
    await asyncio.Event().wait()


async def uploads(tenant: Tenant) -> None:
    """Eight loops put schemas, every other one a costly one."""
    plain = {"type": "object"}

    def body() -> Any:
        schema = {**(COSTLY if random.random() < 0.5 else plain), "title": token_urlsafe(8)}
        return {"schema": schema, "example": {}}

    await asyncio.gather(*(tenant.loop("PUT", f"/api/event-types/t.{n}", body) for n in range(8)))


async def guesses(tenant: Tenant) -> None:
    """Thirty-two clients show wrong tokens of the right form."""

    async def guess() -> None:
        async with aiohttp.ClientSession(tenant.address) as session:
            while True:
                headers = {"Authorization": f"Bearer dsp_{token_urlsafe(32)}"}
                await tenant.ask(session, "GET", "/api/webhooks", headers=headers)

    await asyncio.gather(*(guess() for _ in range(32)))


async def listings(tenant: Tenant) -> None:
    """Four loops list 20,000 webhooks."""
    await asyncio.gather(*(tenant.loop("GET", "/api/webhooks") for _ in range(4)))


async def silence(tenant: Tenant) -> None:
    """Six hundred connections that say nothing, or a byte now and then, and come again."""
    at = urlsplit(tenant.address)

    async def say_nothing() -> None:
        while True:
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            with contextlib.suppress(ConnectionError, TimeoutError):
                writer.write(b"G")
                await asyncio.wait_for(reader.read(), 30)
            writer.close()
            await asyncio.sleep(1)

    await asyncio.gather(*(say_nothing() for _ in range(600)))


FLOODS: dict[str, Flood] = {
    "8 schema uploaders": uploads,
    "32 clients with wrong tokens": guesses,
    "20,000 webhooks, 4 listing": listings,
    "600 silent connections": silence,
}


async def timed(tenant: Tenant, flood: Flood, victim: Tenant, seconds: float) -> list[float]:
    """Milliseconds of the victim's requests, one after another, beside the flood."""
    flooding = asyncio.create_task(flood(tenant))
    await asyncio.sleep(1)
    times: list[float] = []
    until = time.monotonic() + seconds
    async with victim.session() as session:
        while time.monotonic() < until:
            began = time.monotonic()
            await victim.ask(session, "GET", "/api/webhooks")
            times.append((time.monotonic() - began) * 1000)
            await asyncio.sleep(0.01)
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    return sorted(times)


def told(times: list[float]) -> str:
    if not times:
        return "no answer"
    return f"p50 {times[len(times) // 2]:7.1f}  p99 {times[int(len(times) * 0.99)]:7.1f}  n {len(times)}"


def rss_mib(pid: int) -> int:
    line = next(
        entry
        for entry in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        if entry.startswith("VmRSS")
    )
    return int(line.split()[1]) // 1024


async def fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "INSERT INTO dispatcher.environments (id, name) VALUES ('a', 'a'), ('b', 'b')"
    )
    await connection.execute(
        "WITH made AS (INSERT INTO dispatcher.endpoints (id, environment_id, version, name, url, secret, active, metadata)"
        " SELECT gen_random_uuid(), 'a', 0, n, 'http://127.0.0.1/', '', false,"
        " json_build_object('x', repeat('x', 8000)) FROM generate_series(1, $1::int) AS n RETURNING id)"
        " INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id) SELECT 'a', 'x.y', id FROM made",
        WEBHOOKS,
    )
    await connection.execute("ANALYZE")
    await connection.close()


async def main(seconds: float) -> None:
    with stage.database() as dsn:
        await asyncio.to_thread(stage.dispatcher, dsn, "migrate")
        await fill(dsn)
        tokens = [
            stage.dispatcher(
                dsn,
                "token",
                "create",
                "--environment",
                e,
                "--scope",
                "write",
                "--name",
                e,
                "--json",
            )["token"]
            for e in ("a", "b")
        ]
        environ = {**stage.environment(dsn), "DISPATCHER_ADMIN__PORT": str(PORT)}
        async with stage.process("-m", "dispatcher", "run", env=environ) as daemon:
            address = f"http://127.0.0.1:{PORT}"
            await answering(address)
            flooder, victim = (Tenant(address, token) for token in tokens)
            print(f"rss {rss_mib(daemon.pid)} MiB")
            for name, flood in FLOODS.items():
                for label, traffic in (("alone", nothing), (name, flood), ("alone", nothing)):
                    flooder.answers.clear()
                    victim.answers.clear()
                    times = await timed(flooder, traffic, victim, seconds)
                    print(f"{label:<30}{told(times)}  {victim.answers}  flood {flooder.answers}")
                print(f"rss {rss_mib(daemon.pid)} MiB", flush=True)


PORT = int(os.environ.get("PORT", "18477"))


async def answering(address: str) -> None:
    async with asyncio.timeout(stage.PATIENCE), aiohttp.ClientSession(address) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get("/readyz") as answer:
                    if json.loads(await answer.read())["status"] == "ready":
                        return
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
