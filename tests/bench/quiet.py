"""A quiet start: what earlier work has left to autovacuum and the checkpointer is done before."""

import asyncio
from time import monotonic
from typing import Any

import asyncpg

from tests.bench import stage

LOOK_SECONDS = 0.5
BUSY_SHARE = 0.01
"""Of a core: while processes of the server take more, it is not quiet."""
WITHIN = 30.0
BACKGROUND = "SELECT pid FROM pg_stat_activity WHERE backend_type <> 'client backend'"


async def settle(dsn: str, within: float = WITHIN) -> None:
    """Vacuum, write a checkpoint, and wait until the server is idle, for `within` seconds at most."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM ANALYZE", timeout=stage.PATIENCE)
        await connection.execute("CHECKPOINT", timeout=stage.PATIENCE)
        until = monotonic() + within
        before = await _spent(connection)
        while monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)
            after = await _spent(connection)
            if after - before < BUSY_SHARE * LOOK_SECONDS * 1e6:
                return
            before = after
    finally:
        await connection.close()


async def _spent(connection: "asyncpg.Connection[Any]") -> float:
    """Return microseconds of CPU of the processes that work in the background."""
    rows = await connection.fetch(BACKGROUND)
    spent: float = sum(stage.microseconds_on_cpu(row["pid"]) for row in rows)
    return spent
