"""How long a page of deliveries takes with a long history: 10M attempts over 30 days, 1M pending.

Hot means asked for before; the first look pays for the disk as well.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from dispatcher.services.deliveries.history import History
from dispatcher.services.inputs.history_filters import DeliveryFilters, EventFilters
from dispatcher.store.session import Session

DAYS = 30
DELIVERIES = 8_400_000
"""That have ended; they took 1.2 times as many attempts."""
WAITING = 1_100_000
"""Pending deliveries."""
BUSY = UUID("00000000-0000-4000-8000-000000000001")
QUIET = UUID("00000000-0000-4000-8000-000000000777")

SCHEMA = """
ALTER TABLE dispatcher.events DISABLE TRIGGER ALL;
INSERT INTO dispatcher.environments (id, name) VALUES ('env_many', 'many'), ('env_none', 'none');
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
  SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
         CASE WHEN n <= 50 THEN 'env_default' ELSE 'env_many' END, 'n', 'http://example.com/', '', n
  FROM generate_series(1, 1000) AS n;
SELECT dispatcher.make_partition(parent, (now() AT TIME ZONE 'UTC')::date - n)
FROM generate_series(1, 35) AS n, unnest('{events,attempts}'::text[]) AS parent;
"""
# A tenth is the busy endpoint's; a fifth of the deliveries took two attempts; one in 500 failed.
ATTEMPTS = """
INSERT INTO dispatcher.attempts (id, delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at,
                                 outcome, status, duration_ms, error, signed_at, response_headers, response_body, state)
SELECT d.id + m * (1000::bigint << 22) + 7, d.id, e.id, ('00000000-0000-4000-8000-' || lpad(d.endpoint::text, 12, '0'))::uuid,
       CASE WHEN d.endpoint <= 50 THEN 'env_default' ELSE 'env_many' END,
       CASE WHEN n % 1000 = 0 THEN 'role.created' ELSE 'user.created' END, m, to_timestamp(0),
       CASE WHEN m = d.tries AND n % 500 > 0 THEN 'ok' ELSE 'http' END, 200, 12, NULL,
       1700000000,
       '[1,"text/plain",0,"2",2,"Mon, 01 Jan 2024 00:00:00 GMT"]', 'ok',
       CASE WHEN m < d.tries THEN NULL WHEN n % 500 = 0 THEN 'FAILED' ELSE 'DELIVERED' END
FROM generate_series(1, $2::bigint) AS n
CROSS JOIN LATERAL (SELECT dispatcher.id_floor(date_trunc('day', now()) - make_interval(days => $1))
                           + (n * 80000000 / $2 << 22) + n % 1000 AS id,
                           CASE WHEN n % 10 = 0 THEN 1 ELSE 1 + n % 1000 END AS endpoint,
                           CASE WHEN n % 5 = 0 THEN 2 ELSE 1 END AS tries) d
CROSS JOIN LATERAL (SELECT dispatcher.id_floor(date_trunc('day', now()) - make_interval(days => $1)) + n / 10 AS id) e
CROSS JOIN LATERAL generate_series(1, d.tries) AS m
"""
EVENTS = """
INSERT INTO dispatcher.events (id, environment_id, type, data)
SELECT dispatcher.id_floor(date_trunc('day', now()) - make_interval(days => $1)) + n,
       CASE WHEN n % 3 = 0 THEN 'env_default' ELSE 'env_many' END, 'user.created',
       json_build_object('id', n, 'text', repeat('lorem ipsum ', 20))
FROM generate_series(0, $2::bigint / 10) AS n
"""
PENDING = """
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
SELECT dispatcher.id_floor(now() - interval '1 day') + n, dispatcher.id_floor(date_trunc('day', now()) - interval '1 day') + n % 20000,
       ('00000000-0000-4000-8000-' || lpad(endpoint::text, 12, '0'))::uuid,
       CASE WHEN endpoint <= 50 THEN 'env_default' ELSE 'env_many' END, 'user.created', now() + interval '1 hour', n % 64, n % 2
FROM generate_series(1, $1::int) AS n
CROSS JOIN LATERAL (SELECT CASE WHEN n % 11 = 0 THEN 1 ELSE 1 + n % 1000 END AS endpoint) e
"""
INDEXES = """
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::regclass AND NOT i.indisunique
"""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    ask: Callable[[History, int | None], Awaitable[int | None]]


async def fill(dsn: str, deliveries: int = DELIVERIES, pending: int = WAITING) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute(SCHEMA)
    finally:
        await connection.close()
    await asyncio.gather(_fill_history(dsn, deliveries // DAYS), _fill_pending(dsn, pending))


async def _fill_history(dsn: str, deliveries_a_day: int) -> None:
    async with _without_indexes(dsn, "attempts") as connection:
        for day in range(1, DAYS + 1):
            await connection.execute(EVENTS, day, deliveries_a_day)
            await connection.execute(ATTEMPTS, day, deliveries_a_day)
    await _analyse(dsn, "events", "attempts")


async def _fill_pending(dsn: str, pending: int) -> None:
    async with _without_indexes(dsn, "deliveries") as connection:
        await connection.execute(PENDING, pending)
    await _analyse(dsn, "deliveries")


@asynccontextmanager
async def _without_indexes(
    dsn: str, table: str
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that fills a table: its indexes are built afterwards, which takes less time."""
    connection = await asyncpg.connect(dsn)
    indexes = await connection.fetch(INDEXES, f"dispatcher.{table}")
    for index in indexes:
        await connection.execute(f"DROP INDEX dispatcher.{index['name']}")
    try:
        yield connection
        for index in indexes:
            await connection.execute(index["definition"].replace(" ON ONLY ", " ON "))
    finally:
        await connection.close()


async def _analyse(dsn: str, *tables: str) -> None:
    connection = await asyncpg.connect(dsn)
    for table in tables:
        await connection.execute(f"VACUUM ANALYZE dispatcher.{table}")
    await connection.close()


def cases() -> Iterator[Case]:
    """Each asks for a page below an id, and tells the next id."""
    asked = {
        "all": DeliveryFilters(),
        "PENDING": DeliveryFilters(status="PENDING"),
        "DELIVERED": DeliveryFilters(status="DELIVERED"),
        "FAILED": DeliveryFilters(status="FAILED"),
        "CANCELLED (never)": DeliveryFilters(status="CANCELLED"),
        "rare type": DeliveryFilters(event="role.*"),
        "no such type": DeliveryFilters(event="a.b"),
    }
    where = {
        "busy webhook": ("env_default", BUSY),
        "quiet webhook": ("env_many", QUIET),
        "50 webhooks": ("env_default", None),
        "950 webhooks": ("env_many", None),
    }
    for place, (environment_id, webhook_id) in where.items():
        for name, filters in asked.items():
            yield Case(f"{place}, {name}", _deliveries(environment_id, webhook_id, filters))
    for environment_id in ("env_default", "env_none"):
        for name, event_filters in {
            "all": EventFilters(),
            "no such type": EventFilters(type="a"),
        }.items():
            yield Case(
                f"events of {environment_id}, {name}", _events(environment_id, event_filters)
            )


def _deliveries(
    environment_id: str, webhook_id: UUID | None, filters: DeliveryFilters
) -> Callable[[History, int | None], Awaitable[int | None]]:
    async def ask(history: History, before: int | None) -> int | None:
        page = await history.deliveries(environment_id, webhook_id, filters, before=before)
        return page.next

    return ask


def _events(
    environment_id: str, filters: EventFilters
) -> Callable[[History, int | None], Awaitable[int | None]]:
    async def ask(history: History, before: int | None) -> int | None:
        return (await history.events(environment_id, filters, before=before)).next

    return ask


async def measure(dsn: str, *, pages: int = 10) -> list[str]:
    """Milliseconds a page of 20, with everything between the service layer and the database."""
    await fill(dsn)
    session = Session(dsn, "people", settings={"plan_cache_mode": "force_custom_plan"})
    try:
        return [await _row(History(session), case, pages) for case in cases()]
    finally:
        await session.close()


async def _row(history: History, case: Case, pages: int) -> str:
    first = await _walk(history, case, pages)
    again = await _walk(history, case, pages)
    return (
        f"{case.name:<40} first look {max(first):6.1f} ms   "
        f"hot p50 {sorted(again)[len(again) // 2]:5.1f} max {max(again):5.1f} ms"
    )


async def _walk(history: History, case: Case, pages: int) -> list[float]:
    took, before = [], None
    for _ in range(pages):
        began = time.perf_counter()
        before = await case.ask(history, before)
        took.append((time.perf_counter() - began) * 1000)
        if before is None:
            break
    return took
