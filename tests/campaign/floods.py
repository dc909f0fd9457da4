"""What neighbours do, each in a process of its own, and the tenant who is measured beside them.

python -m tests.campaign.floods NAME    reads one line of JSON (`Orders`), then works

A flood goes on until its input is closed. It runs at idle priority: a real one has machines of its
own, so what is measured here is what the daemon and PostgreSQL do with it, and not how a machine of
two cores is shared with the program that floods. `victim` works for so many seconds, then prints when each
of its events was committed, by id, in seconds of the monotonic clock, and the seconds its GETs took.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import asyncpg

from tests.bench import neighbours as requests
from tests.bench.neighbours import Tenant
from tests.hostile_receivers.priority import at_idle_priority
from tests.hostile_settings import occupy_public

AT_ONCE = 100
"""Deliveries to a hostile receiver that are due at any time, and connections of a squatter."""
GROUPS = 24
"""Types of events for hostile receivers. Each type goes to about ten of them."""
EVENTS_A_SECOND = 40
GETS_A_SECOND = 40
LOCKS = (1_684_632_432, 0, 1)
SAFE = "SET search_path = pg_catalog, pg_temp"
EMIT = (
    "INSERT INTO dispatcher.events (environment_id, type, data) VALUES ($1, $2, '{}') RETURNING id"
)
EMIT_MANY = """
INSERT INTO dispatcher.events (environment_id, type, data)
SELECT 'a', ($1::text[])[1 + floor(random() * cardinality($1::text[]))], '{}' FROM generate_series(1, $2::int)
"""
DUE = """
SELECT count(*)::int FROM dispatcher.deliveries WHERE environment_id = 'a' AND next_at <= now()
"""


@dataclass(frozen=True, slots=True)
class Orders:
    """`dsn` is a superuser's, `producer` that of one who may emit; `token` is the process's own.

    The tenant who is measured works for so many `seconds`, with so many `producers`.
    """

    dsn: str
    producer: str
    address: str
    token: str
    seconds: float = 0.0
    producers: int = 1


async def hostile_receivers(orders: Orders) -> None:
    """A hundred deliveries at a time are due to receivers that answer anything."""
    await _due(orders.dsn, *(f"flood.any.g{n}" for n in range(GROUPS)))


async def silent_names(orders: Orders) -> None:
    """Two hundred webhooks have names whose servers say nothing."""
    await _due(orders.dsn, "flood.name")


async def _due(dsn: str, *types: str) -> None:
    """Emit events of these types while fewer than AT_ONCE deliveries are due."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(SAFE)
    while True:
        if await connection.fetchval(DUE) < AT_ONCE:
            await connection.execute(EMIT_MANY, types, 1)
        await asyncio.sleep(0.1)


async def squatter(orders: Orders) -> None:
    """A producer takes every advisory lock that may be of use to somebody, and waits for the others."""

    async def squat(n: int) -> None:
        await asyncio.sleep(n / (AT_ONCE // 5))  # otherwise all look for locks at the same moment
        connection = await asyncpg.connect(orders.producer)
        await connection.execute(SAFE)
        for first in LOCKS:
            with suppress(asyncpg.PostgresError):
                await connection.execute("SET lock_timeout = '500ms'")
                await connection.execute("SELECT pg_advisory_lock($1::int, $2::int)", first, n)
        while True:
            locks = await connection.fetch(
                "SELECT classid::bigint AS a, objid::bigint AS b, objsubid AS kind FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
            for lock in locks:
                with suppress(asyncpg.PostgresError):
                    if lock["kind"] == 2:
                        await connection.execute(
                            "SELECT pg_advisory_lock($1::bigint::int, $2::bigint::int)",
                            lock["a"], lock["b"],
                        )  # fmt: skip
                    else:
                        key = lock["a"] << 32 | lock["b"]
                        await connection.execute("SELECT pg_advisory_lock($1)", key)
            await asyncio.sleep(1)

    await asyncio.gather(*(squat(n) for n in range(AT_ONCE // 5)))


async def public(orders: Orders) -> None:
    """A producer who may create in schema public makes what could stand in for PostgreSQL's own."""
    connection = await asyncpg.connect(orders.producer)
    with suppress(asyncpg.DuplicateFunctionError):  # in the second round all of it is there
        await occupy_public(connection)
    await connection.execute(SAFE)
    while True:
        await connection.execute("SELECT dispatcher.emit('flood.public', '{}')")
        await asyncio.sleep(0.1)


def asking(flood: requests.Flood) -> Callable[[Orders], Awaitable[None]]:
    async def ask(orders: Orders) -> None:
        await flood(Tenant(orders.address, orders.token))

    return ask


async def victim(orders: Orders) -> None:
    """Emit and ask steadily, and print how it went."""
    tenant = Tenant(orders.address, orders.token)
    until = monotonic() + orders.seconds
    emitted: dict[str, float] = {}
    asked: list[float] = []

    async def emit() -> None:
        connection = await asyncpg.connect(orders.dsn)
        await connection.execute(SAFE)
        while monotonic() < until:
            name = await connection.fetchval(EMIT, "b", "victim.event")
            emitted[f"evt_{name}"] = monotonic()
            await asyncio.sleep(1 / EVENTS_A_SECOND)

    async def ask() -> None:
        async with tenant.session() as session:
            while monotonic() < until:
                began = monotonic()
                await tenant.ask(session, "GET", "/api/webhooks")
                asked.append(monotonic() - began)
                await asyncio.sleep(1 / GETS_A_SECOND)

    await asyncio.gather(ask(), *(emit() for _ in range(orders.producers)))
    print(json.dumps({"emitted": emitted, "asked": asked, "answers": tenant.answers}), flush=True)


FLOODS: dict[str, Callable[[Orders], Awaitable[None]]] = {
    "receivers": hostile_receivers,
    "squatter": squatter,
    "public": public,
    "uploaders": asking(requests.uploads),
    "listings": asking(requests.listings),
    "connections": asking(requests.silence),
    "names": silent_names,
}


async def main(name: str) -> None:
    orders = Orders(**json.loads(sys.stdin.readline()))
    if name == "victim":
        await victim(orders)
        return
    at_idle_priority()
    flooding = asyncio.ensure_future(FLOODS[name](orders))
    closed = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait({flooding, closed}, return_when=asyncio.FIRST_COMPLETED)
    if flooding in done:
        flooding.result()
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
