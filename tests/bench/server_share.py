"""What a delivery costs PostgreSQL: CPU by session, bytes of WAL by statement.

The producer inserts in transactions of 100 rows, the daemon sends them, and both are counted: from the
INSERT to the recorded attempt. CPU is that of all server processes, autovacuum and the WAL writer
included. WAL includes images of whole pages; they are shown, because their share depends on how often
the server makes checkpoints.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from dispatcher.store.statements import statement
from tests.bench import cpu, stage, throughput, wal
from tests.bench.figures import Figure, Report

CPU_BARS_US = {1: 50, 10: 20}
WAL_BARS_BYTES = {1: 1200}
SERVER = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "top",
    "pg_stat_statements.track_utility": "off",
}
"""Settings of the server that is measured: some hundred statements a second are noted by it."""
QUERIES = Path(__file__).parents[2] / "sql" / "queries"

WAL = """
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bytes, (SELECT wal_fpi FROM pg_stat_wal) AS images
"""
STATEMENTS = """
SELECT query, calls::bigint, rows::bigint, wal_bytes::bigint, shared_blks_hit + shared_blks_read AS blocks
FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND toplevel
"""
TIMES = """
SELECT query, calls::bigint, mean_exec_time AS mean FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND toplevel ORDER BY calls DESC LIMIT 6
"""


@dataclass(frozen=True, slots=True)
class Look:
    """The costs of the server so far: microseconds by session and in all, bytes of WAL."""

    by_session: Mapping[str, float]
    microseconds: float
    wal_bytes: int
    images: int

    def since(self, before: "Look", deliveries: int) -> "Look":
        """Return what one of so many deliveries cost since `before`."""
        spent = {
            name: (us - before.by_session.get(name, 0.0)) / deliveries
            for name, us in self.by_session.items()
        }
        return Look(
            spent,
            (self.microseconds - before.microseconds) / deliveries,
            (self.wal_bytes - before.wal_bytes) // deliveries,
            self.images - before.images,
        )


async def measure(dsn: str, *, rounds: int, number: int, fan_out: int) -> Report:
    """CPU and WAL a delivery, and their parts."""
    looks: list[Look] = []
    async with stage.receiving() as receiver:
        webhooks = [throughput.subscribe(dsn, receiver) for _ in range(fan_out)]
        producer = await asyncpg.connect(dsn, server_settings={"application_name": "producer"})
        server = stage.server_pid(await producer.fetchval("SHOW data_directory"))
        await producer.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        async with stage.sending(dsn):
            await throughput.ours(producer, receiver, number // 4, fan_out)  # warm: plans, caches
            await producer.execute("CHECKPOINT")
            await producer.execute("SELECT pg_stat_statements_reset()")
            began = await producer.fetchval("SELECT pg_current_wal_insert_lsn()::text")
            for _ in range(rounds):
                before = await _look(producer, server)
                await throughput.ours(producer, receiver, number, fan_out)
                looks.append((await _look(producer, server)).since(before, number))
            statements = await _statements(producer, rounds * number)
            records = await wal.by_record(producer, began, rounds * number)
        await producer.close()
        for webhook in webhooks:
            stage.dispatcher(dsn, "webhook", "delete", webhook)
    us, size = median(look.microseconds for look in looks), median(look.wal_bytes for look in looks)
    lines = [*_summary(looks, fan_out), *statements]
    bars = CPU_BARS_US.get(fan_out), WAL_BARS_BYTES.get(fan_out)
    figures = [
        Figure(
            f"PostgreSQL's CPU a delivery, fan-out {fan_out}", us, "µs", bars[0], why=(*lines[1:],)
        ),
        Figure(
            f"WAL a delivery, fan-out {fan_out}", size, "bytes", bars[1], why=(*lines[2:], *records)
        ),
        Figure(
            f"lost or repeated, beside the counters, fan-out {fan_out}",
            receiver.inexact,
            "deliveries",
            0,
        ),
    ]
    return Report([*lines, *records], figures)


async def _look(connection: "asyncpg.Connection[Any]", server: int) -> Look:
    spent = await cpu.by_session(connection)
    row = await connection.fetchrow(WAL)
    assert row is not None
    return Look(
        spent, stage.children_cpu_seconds(server) * 1e6, int(row["bytes"]), row["images"] or 0
    )


def _summary(looks: list[Look], fan_out: int) -> list[str]:
    us, wal = median(look.microseconds for look in looks), median(look.wal_bytes for look in looks)
    lines = [
        f"  fan-out {fan_out:>2}: {us:5.1f} µs of PostgreSQL a delivery{_bar(us, CPU_BARS_US, fan_out, 'µs')}"
    ]
    lines[0] += f", {wal:5.0f} bytes of WAL{_bar(wal, WAL_BARS_BYTES, fan_out, 'bytes')}"
    names = {name for look in looks for name in look.by_session}
    parts = {name: median(look.by_session.get(name, 0.0) for look in looks) for name in names}
    images = sum(look.images for look in looks)
    return [*lines, f"    µs by session: {cpu.named(parts, 1)}; {images} page images in all rounds"]


def _bar(figure: float, bars: Mapping[int, int], fan_out: int, unit: str) -> str:
    bar = bars.get(fan_out)
    if bar is None:
        return ""
    return f" (bar {bar} {unit}: {'pass' if figure <= bar else 'short'})"


async def _statements(connection: "asyncpg.Connection[Any]", deliveries: int) -> list[str]:
    """Lines on the statements that wrote most WAL; each counts what its triggers did."""
    names = _names()
    rows = sorted(await connection.fetch(STATEMENTS), key=lambda row: -row["wal_bytes"])
    return [
        f"    {names.get(_words(row['query']), row['query'][:40]):<24} {row['wal_bytes'] / deliveries:6.0f} bytes,"
        f" {row['blocks'] / deliveries:5.1f} blocks a delivery, {row['rows'] / max(1, row['calls']):6.0f} rows a call"
        for row in rows
        if row["wal_bytes"] > deliveries
    ]


async def times(connection: "asyncpg.Connection[Any]") -> list[str]:
    """Lines on the statements that a delivery waited for: how long each took on average."""
    names = _names()
    rows = sorted(await connection.fetch(TIMES), key=lambda row: -row["calls"])
    return [
        f"{names.get(_words(row['query']), row['query'][:40])}: {row['mean']:.2f} ms, {row['calls']} times"
        for row in rows
    ]


def _names() -> dict[str, str]:
    names = [str(path.relative_to(QUERIES).with_suffix("")) for path in QUERIES.rglob("*.sql")]
    return {_words(statement(name)): name for name in names}


def _words(query: str) -> str:
    """Return a statement without constants, comments and spaces: the server replaces its constants."""
    text = re.sub(r"--[^\n]*", "", query)
    return re.sub(r"\$\d+|'[^']*'|\b\d+\b|\s+", "", text)
