"""Sending beside much history and many pending deliveries, against the same server's empty database.

10M attempts over 30 days, 1M retries that are due later, 10,000 webhooks. Both daemons stand by, and
each database has its rounds in turn. Then: how long from the start of a daemon to its first POST, and
how fast deliveries drain that are all due at one moment.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

from dispatcher.encryption.cipher import Cipher, parse_key
from tests.bench import listing, stage, throughput
from tests.bench.neighbours import rss_mib

ENDPOINTS = 10_000
RATE_BAR, DRAIN_BAR = 0.9, 0.8
RSS_BAR_MIB = 150
START_BAR_SECONDS = 2.0
STARTS = 3
KEPT = {"RETENTION__ATTEMPTS": "60d", "RETENTION__EVENTS": "90d"}
"""So that maintenance does not drop the history at once."""
AHEAD_SECONDS = 12
"""Until the deliveries are due that are due at one moment: long enough to write them and to start."""

MORE_ENDPOINTS = """
INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'env_many', 'n', 'http://example.com/', '', n
FROM generate_series(1001, $1::int) AS n
"""
SECRETS = """
UPDATE dispatcher.endpoints e SET secret = n.secret FROM unnest($1::uuid[], $2::bytea[]) AS n(id, secret) WHERE e.id = n.id
"""
DONE = """
SELECT NOT EXISTS (SELECT 1 FROM dispatcher.inbox)
   AND (SELECT count(*) = 0 FROM (SELECT 1 FROM dispatcher.deliveries
        WHERE endpoint_id = ANY (ARRAY(SELECT id FROM dispatcher.endpoints WHERE url LIKE 'http://127.%')) LIMIT 1) AS left_over)
"""
INSERT = "INSERT INTO dispatcher.events (type, data) SELECT 'user.created', $1::json FROM generate_series(1, $2::int)"
# As they are when a receiver was away: tried once, and all due again at the same moment.
DUE_AT_ONCE = """
WITH gone AS (DELETE FROM dispatcher.inbox RETURNING *)
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
SELECT dispatcher.next_id(), g.event_id, e.id, g.environment_id, g.type, now() + make_interval(secs => $1), g.event_id % 64, 1
FROM gone g CROSS JOIN (SELECT id FROM dispatcher.endpoints WHERE url LIKE 'http://127.%') AS e
"""


@dataclass(slots=True)
class Place:
    """A database with one webhook of the receiver, and a connection of the producer."""

    dsn: str
    connection: "asyncpg.Connection[Any]"
    receiver: stage.Receiver


async def prepare(dsn: str, *, deliveries: int, pending: int) -> str:
    """Fill the database, and make an empty one beside it; return the DSN of that."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE DATABASE without_history")
    await connection.close()
    await listing.fill(dsn, deliveries, pending)
    connection = await asyncpg.connect(dsn)
    await connection.execute(MORE_ENDPOINTS, ENDPOINTS)
    ids = [UUID(f"00000000-0000-4000-8000-{n:012}") for n in range(1, ENDPOINTS + 1)]
    cipher = Cipher(parse_key(stage.KEY))
    sealed = [cipher.encrypt(b"a" * 64, context=id_.bytes) for id_ in ids]
    await connection.execute(SECRETS, ids, sealed)
    await connection.execute("ALTER TABLE dispatcher.events ENABLE TRIGGER ALL")
    await connection.execute(
        "ALTER TABLE dispatcher.events ENABLE REPLICA TRIGGER event_replicated"
    )
    await connection.execute("ALTER SYSTEM RESET fsync")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute("CHECKPOINT")
    await connection.close()
    empty = _other(dsn)
    await asyncio.to_thread(stage.dispatcher, empty, "migrate")
    return empty


def _other(dsn: str) -> str:
    """Return the DSN of the empty database of the same server."""
    return urlsplit(dsn)._replace(path="/without_history").geturl()


async def measure(dsn: str, empty: str, *, rounds: int, number: int, at_once: int) -> list[str]:
    """Lines of a report: rates, memory, starts, and the drain."""
    lines = []
    async with _place(empty) as bare, _place(dsn) as full:
        async with AsyncExitStack() as daemons:
            pids = [
                await daemons.enter_async_context(stage.sending(p.dsn, settings=KEPT))
                for p in (bare, full)
            ]
            rates = await _rates(bare, full, rounds, number)
            lines += _said(rates)
            rss = rss_mib(pids[1])
        starts = [await _start(full) for _ in range(STARTS)]
        drained = await _drain(full, at_once)
        rss_drained = drained[1]
    normal = median(rate for _, rate in rates)
    lines.append(
        f"  memory of the daemon {rss} MiB, after the drain {rss_drained} MiB{_bar(max(rss, rss_drained) <= RSS_BAR_MIB, f'{RSS_BAR_MIB} MiB')}"
    )
    lines.append(
        f"  from the start of the process to its first POST {median(starts):.2f} s, slowest {max(starts):.2f} s{_bar(max(starts) <= START_BAR_SECONDS, f'{START_BAR_SECONDS:.0f} s')}"
    )
    lines.append(
        f"  {at_once} due at one moment: {drained[0]:.0f}/s, {drained[0] / normal:.2f} of the normal rate{_bar(drained[0] >= DRAIN_BAR * normal, str(DRAIN_BAR))}"
    )
    return lines


def _bar(kept: bool, bar: str) -> str:
    return f" (bar {bar}: {'pass' if kept else 'short'})"


@asynccontextmanager
async def _place(dsn: str) -> AsyncIterator[Place]:
    async with stage.receiving() as receiver:
        hook = await asyncio.to_thread(throughput.subscribe, dsn, receiver)
        connection = await asyncpg.connect(dsn)
        try:
            yield Place(dsn, connection, receiver)
        finally:
            await connection.close()
            await asyncio.to_thread(stage.dispatcher, dsn, "webhook", "delete", hook)


async def _rates(bare: Place, full: Place, rounds: int, number: int) -> list[tuple[float, float]]:
    for place in (bare, full):  # plans and caches
        await throughput.ours(place.connection, place.receiver, number // 4, 1, done=DONE)
    return [
        (
            await throughput.ours(bare.connection, bare.receiver, number, 1, done=DONE),
            await throughput.ours(full.connection, full.receiver, number, 1, done=DONE),
        )
        for _ in range(rounds)
    ]


def _said(rates: list[tuple[float, float]]) -> list[str]:
    ratio = median(full / bare for bare, full in rates)
    each = [
        f"  with history {full:7.0f}/s, without {bare:7.0f}/s, ratio {full / bare:.2f}"
        for bare, full in rates
    ]
    return [*each, f"  median ratio {ratio:.2f}{_bar(ratio >= RATE_BAR, str(RATE_BAR))}"]


async def _start(place: Place) -> float:
    """Seconds from the start of a daemon's process to its first POST, of an event that waits."""
    await place.receiver.ask("times")
    await place.connection.execute(INSERT, throughput.DATA, 1)
    began = monotonic()
    async with stage.sending(place.dsn, settings=KEPT):
        await place.receiver.counted(1)
        times = await place.receiver.ask("times")
        await stage.until(place.connection, DONE)
    await place.receiver.ask("count")
    return float(min(times.values()) - began)


async def _drain(place: Place, number: int) -> tuple[float, int]:
    """Deliveries a second from the moment at which all are due, and the daemon's memory after it."""
    await place.connection.execute(INSERT, throughput.DATA, number)
    due = monotonic() + AHEAD_SECONDS
    await place.connection.execute(DUE_AT_ONCE, float(AHEAD_SECONDS))
    await place.receiver.ask("times")
    async with stage.sending(place.dsn, settings=KEPT) as pid:
        await place.receiver.counted(number, every=0.1)
        times = await place.receiver.ask("times")
        await stage.until(place.connection, DONE)
        memory = rss_mib(pid)
    await place.receiver.ask("count")
    return number / (max(times.values()) - due), memory
