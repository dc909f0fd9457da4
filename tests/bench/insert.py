"""What an INSERT of one event costs the application, against the same row in a bare table.

CPU is that of the server process of one connection. Commits a second are pgbench's, with fsync on.
"""

import asyncio
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import asyncpg

from dispatcher.embedded_postgres import binaries
from tests.bench import insert_parts, stage
from tests.bench.figures import Figure, Report

DATA = '{"id":"usr_1","first_name":"Jane","last_name":"Doe","email":"jane@example.com"}'
WRITERS = (1, 8, 32)
SLICE = 500
"""INSERTs between two looks at the clock of a server process: short, so that both see the same machine."""
SECONDS = 2
CPU_BAR_US = 200
RATE_BAR = 0.75
WITHOUT, WITH = "no daemon", "with a daemon"

BARE = """CREATE TABLE bare_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, environment_id text NOT NULL DEFAULT 'env_default',
  type text NOT NULL, data json NOT NULL, idempotency_key text, source text NOT NULL DEFAULT 'producer')"""
TABLES = {"bare": "bare_events", "ours": "dispatcher.events"}


async def measure(dsn: str, *, rounds: int) -> Report:
    """CPU an INSERT, and commits/s, without and with a daemon."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(BARE)
    try:
        figures = [await _cpu(dsn, rounds * 2_000 // SLICE, WITHOUT)]
        figures += await asyncio.to_thread(list, _rates(dsn, rounds, WITHOUT))
        why = await _parts(dsn)
        await connection.execute("TRUNCATE dispatcher.inbox")
        async with stage.sending(dsn):
            figures.append(await _cpu(dsn, rounds * 2_000 // SLICE, WITH))
            figures += await asyncio.to_thread(list, _rates(dsn, rounds, WITH))
        figures = [replace(figure, why=why) for figure in figures]
        return Report(
            [*(figure.line() for figure in figures), *(f"  {line}" for line in why)], figures
        )
    finally:
        await connection.execute("DROP TABLE bare_events")
        await connection.close()


async def _parts(dsn: str) -> tuple[str, ...]:
    """Return lines on what an INSERT costs, and on what most writers wait for."""
    writers = WRITERS[-1]
    lines = await insert_parts.costs(dsn, DATA)
    for name, table in TABLES.items():
        run = partial(asyncio.to_thread, _commits, dsn, table, writers)
        lines.append(await insert_parts.waits(dsn, f"{writers} writers, {name}", run))
    return tuple(lines)


async def _cpu(dsn: str, slices: int, where: str) -> Figure:
    """Measure microseconds of the server process an INSERT, in turn with the bare table."""
    took: dict[str, list[float]] = {name: [] for name in TABLES}
    connections = {name: await asyncpg.connect(dsn) for name in TABLES}
    for number in range(slices + 1):
        for name, connection in connections.items():
            spent = await _slice(connection, TABLES[name])
            if number:  # the first fills caches
                took[name].append(spent)
    for connection in connections.values():
        await connection.close()
    ours, bare = median(took["ours"]), median(took["bare"])
    name = f"INSERT of one event, CPU of PostgreSQL, {where}"
    return Figure(name, ours, "µs", CPU_BAR_US, note=f"bare table {bare:.0f} µs")


async def _slice(connection: "asyncpg.Connection[Any]", table: str) -> float:
    insert = await connection.prepare(f"INSERT INTO {table} (type, data) VALUES ($1, $2)")  # noqa: S608
    pid = connection.get_server_pid()
    before = stage.microseconds_on_cpu(pid)
    for _ in range(SLICE):
        await insert.fetch("user.created", DATA)
    return (stage.microseconds_on_cpu(pid) - before) / SLICE


def _rates(dsn: str, rounds: int, where: str) -> Iterator[Figure]:
    for writers in WRITERS:
        rates: dict[str, list[float]] = {name: [] for name in TABLES}
        for _ in range(rounds):
            for name, table in TABLES.items():
                rates[name].append(_commits(dsn, table, writers))
        ratio = median(o / b for o, b in zip(rates["ours"], rates["bare"], strict=True))
        note = f"{median(rates['ours']):,.0f} of {median(rates['bare']):,.0f}/s"
        name = f"INSERT, commits/s of {writers} writers, {where}"
        yield Figure(name, ratio, "times", RATE_BAR, at_most=False, note=note)


def _commits(dsn: str, table: str, writers: int) -> float:
    """Return how many one-row transactions a second so many connections commit."""
    pgbench = binaries.find().directory / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"INSERT INTO {table} (type, data) VALUES ('user.created', '{DATA}');\n")  # noqa: S608
        script.flush()
        options = ["-n", "-M", "prepared", "-c", str(writers), "-T", str(SECONDS)]
        command = [str(pgbench), *options, "-f", script.name, dsn]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])
