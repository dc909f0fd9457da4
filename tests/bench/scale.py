"""Sending beside much history and many pending deliveries, against the same server's empty database.

By default a million attempts over 30 days, a million retries that are due later, 10,000 webhooks. Both daemons stand by, and
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
from tests.bench import listing, quiet, stage, throughput
from tests.bench.figures import Figure, Report
from tests.bench.neighbours import rss_mib
from tests.bench.sizes import Sizes

ENDPOINTS = 10_000
RATE_BAR, DRAIN_BAR = 0.9, 0.8
RSS_BAR_MIB = 150
START_BAR_SECONDS = 2.0
STARTS = 3
KEPT = {"RETENTION__ATTEMPTS": "60d", "RETENTION__EVENTS": "90d"}
"""So that maintenance does not drop the history at once."""
AHEAD_SECONDS = 15
"""Until the deliveries are due that are due at one moment: long enough to write them and to start."""

MODULES = "import dispatcher.cli.commands.run, dispatcher.config.loading, dispatcher.engine.engine"
JOINED = "SELECT EXISTS (SELECT 1 FROM dispatcher.daemons)"
OWNING = "SELECT bool_and(s.owner = d.id) FROM dispatcher.shards s LEFT JOIN dispatcher.daemons d ON d.id = s.owner"
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


async def _prepare(dsn: str, *, deliveries: int, pending: int) -> str:
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
    await connection.close()
    empty = _other(dsn)
    await asyncio.to_thread(stage.dispatcher, empty, "migrate")
    await quiet.settle(dsn)
    return empty


def _other(dsn: str) -> str:
    """Return the DSN of the empty database of the same server."""
    return urlsplit(dsn)._replace(path="/without_history").geturl()


async def measure(dsn: str, sizes: Sizes, *, rounds: int) -> Report:
    """Rates with and without history, memory, starts, and the drain."""
    began = monotonic()
    empty = await _prepare(dsn, deliveries=sizes.ended, pending=sizes.pending)
    filled = f"filled in {monotonic() - began:.0f} s"
    number, at_once = sizes.number, sizes.at_once
    async with _place(empty) as bare, _place(dsn) as full:
        async with AsyncExitStack() as daemons:
            pids = [
                await daemons.enter_async_context(stage.sending(p.dsn, settings=KEPT))
                for p in (bare, full)
            ]
            rates = await _rates(bare, full, rounds, number)
            rss = rss_mib(pids[1])
        starts = [await _start(full) for _ in range(STARTS)]
        drained, rss_drained = await _drain(full, at_once)
        inexact = bare.receiver.inexact + full.receiver.inexact
    size = f"{1.2 * sizes.ended / 1e6:.1f}M attempts, {sizes.pending / 1e6:.1f}M pending, {ENDPOINTS:,} webhooks"
    ratio = median(with_history / without for without, with_history in rates)
    first_posts = [start.first_post for start in starts]
    why = tuple(start.phases() for start in starts)
    figures = [
        Figure(
            "deliveries/s with history against without", ratio, "times", RATE_BAR, False, note=size
        ),
        Figure("memory of the daemon, much pending", max(rss, rss_drained), "MiB", RSS_BAR_MIB),
        Figure(
            f"start to first POST, slowest of {STARTS}",
            max(first_posts),
            "s",
            START_BAR_SECONDS,
            note=f"median {median(first_posts):.2f} s",
            why=why,
        ),
        Figure(
            f"{at_once:,} due at one moment against the normal rate",
            drained / median(rate for _, rate in rates),
            "times",
            DRAIN_BAR,
            False,
            note=f"{drained:,.0f}/s",
        ),
        Figure("lost or repeated, much history", inexact, "deliveries", 0),
    ]
    lines = [f"  {size}, {filled}"]
    lines += [
        f"  with history {full:,.0f}/s, without {bare:,.0f}/s, ratio {full / bare:.2f}"
        for bare, full in rates
    ]
    lines.append(f"  memory after the rounds {rss} MiB, after the drain {rss_drained} MiB")
    return Report([*lines, *(f"  {line}" for line in why)], figures)


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


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of a process: until it has joined, owns all shards, and made its first POST.

    `modules` is how long the modules take to load that the engine needs, in a process of its own.
    """

    modules: float
    joined: float
    owning: float
    first_post: float

    def phases(self) -> str:
        """Return when each phase had ended, in words."""
        return (
            f"s after the start: modules loaded {self.modules:.2f}, joined {self.joined:.2f},"
            f" owns all shards {self.owning:.2f}, first POST {self.first_post:.2f}"
        )


async def _start(place: Place) -> Start:
    """Start a daemon for an event that waits."""
    began = monotonic()
    async with stage.process("-c", MODULES) as loading:
        await loading.wait()
    modules = monotonic() - began
    await place.receiver.ask("times")
    await place.connection.execute(INSERT, throughput.DATA, 1)
    began = monotonic()
    async with stage.starting(place.dsn, settings=KEPT):
        await stage.until(place.connection, JOINED, every=0.005)
        joined = monotonic() - began
        await stage.until(place.connection, OWNING, every=0.005)
        owning = monotonic() - began
        await place.receiver.counted(1)
        times = await place.receiver.ask("times")
        await stage.until(place.connection, DONE)
    await place.receiver.ask("count")
    return Start(modules, joined, owning, min(times.values()) - began)


async def _drain(place: Place, number: int) -> tuple[float, int]:
    """Deliveries a second from the moment at which all are due, and the daemon's memory after it."""
    await place.connection.execute(INSERT, throughput.DATA, number)
    due = monotonic() + AHEAD_SECONDS
    await place.connection.execute(DUE_AT_ONCE, float(AHEAD_SECONDS))
    await place.receiver.ask("times")
    async with stage.sending(place.dsn, settings=KEPT) as pid:
        if monotonic() > due:
            raise RuntimeError(f"writing {number} deliveries took longer than {AHEAD_SECONDS} s")
        await place.receiver.counted(number, every=0.1, within=stage.PATIENCE + number / 1000)
        times = await place.receiver.ask("times")
        await stage.until(place.connection, DONE)
        memory = rss_mib(pid)
    place.receiver.inexact += abs(len(times) - number) + abs(
        await place.receiver.ask("count") - number
    )
    return number / (max(times.values()) - due), memory
