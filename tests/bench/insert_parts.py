"""Where an INSERT of one event goes: CPU of its parts, and what 32 writers wait for."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from statistics import median
from typing import Any

import asyncpg

from tests.bench import stage

SLICE = 500
SLICES = 8
"""Of each variant, in turn with the others."""
LOOK_SECONDS = 0.02
SHARE_SHOWN = 0.03
DISABLE = "ALTER TABLE dispatcher.events DISABLE TRIGGER {}"
ENABLE = """
ALTER TABLE dispatcher.events ENABLE ALWAYS TRIGGER event_checked, ENABLE TRIGGER events_inserted
"""
VARIANTS = (
    ("a row of the bare table", "bare_events", ()),
    (
        "partitions and the function that draws the id",
        "dispatcher.events",
        ("event_checked", "events_inserted"),
    ),
    ("the check of the event", "dispatcher.events", ("events_inserted",)),
    ("the row of the inbox, and whether to notify", "dispatcher.events", ()),
)
"""Each has all parts of those before it. The names are those of triggers that are disabled."""
WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"
WAITS = """
SELECT CASE WHEN state <> 'active' THEN 'the client' ELSE coalesce(wait_event, 'CPU') END AS name
FROM pg_stat_activity WHERE application_name = 'pgbench'
"""


async def costs(dsn: str, data: str) -> list[str]:
    """Return lines: microseconds that each part takes of the server process, and its bytes of WAL.

    Each INSERT is a transaction, as most of the cost is its own, but its commit does not wait for the disk.
    """
    connection = await asyncpg.connect(dsn, server_settings={"synchronous_commit": "off"})
    took: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in VARIANTS}
    for _ in range(SLICES):
        for name, table, triggers in VARIANTS:
            took[name].append(await _slice(connection, table, triggers, data))
    await connection.close()
    us = {name: median(us for us, _ in slices) for name, slices in took.items()}
    wal = {name: median(wal for _, wal in slices) for name, slices in took.items()}
    return [
        f"µs of the server an INSERT whose commit does not wait for the disk: {_differences(us)}",
        f"bytes of WAL an INSERT: {_differences(wal)}",
    ]


def _differences(totals: Mapping[str, float]) -> str:
    """Return what each part adds to those before it, in words."""
    parts, before = [], 0.0
    for name, total in totals.items():
        parts.append(f"{name} {total - before:.0f}")
        before = total
    return ", ".join(parts)


async def _slice(
    connection: "asyncpg.Connection[Any]", table: str, triggers: tuple[str, ...], data: str
) -> tuple[float, float]:
    """Return microseconds and bytes of WAL an INSERT while these triggers are disabled."""
    for trigger in triggers:
        await connection.execute(DISABLE.format(trigger))
    insert = await connection.prepare(f"INSERT INTO {table} (type, data) VALUES ($1, $2)")  # noqa: S608
    pid = connection.get_server_pid()
    await insert.fetch("user.created", data)
    wal = await connection.fetchval(WAL)
    before = stage.microseconds_on_cpu(pid)
    for _ in range(SLICE):
        await insert.fetch("user.created", data)
    spent = stage.microseconds_on_cpu(pid) - before
    wal = await connection.fetchval(WAL) - wal
    await connection.execute(ENABLE)
    return spent / SLICE, wal / SLICE


async def waits(dsn: str, name: str, run: Callable[[], Coroutine[Any, Any, object]]) -> str:
    """Return one line: what the sessions of pgbench wait for, looked at while it runs."""
    connection = await asyncpg.connect(dsn)
    seen: Counter[str] = Counter()
    running = asyncio.create_task(run())
    while not running.done():
        seen.update(row["name"] for row in await connection.fetch(WAITS))
        await asyncio.wait({running}, timeout=LOOK_SECONDS)
    await running
    await connection.close()
    looks = seen.total() or 1
    shares = ", ".join(
        f"{what} {count / looks:.0%}"
        for what, count in seen.most_common()
        if count / looks >= SHARE_SHOWN
    )
    return f"sessions of {name} are at: {shares}"
