"""What the write-ahead log is made of: bytes by kind of record, as pg_waldump counts them."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import asyncpg

from dispatcher.embedded_postgres import binaries

SHARE_SHOWN = 0.01
ROW = re.compile(r"^(\w+/\S+)\s+(\d+) \([^)]*\)\s+(\d+) \(")
"""Of the report: the kind of record, their number with its share, their bytes without page images."""


async def by_record(
    connection: "asyncpg.Connection[Any]", began: str, deliveries: int
) -> list[str]:
    """Return lines on the kinds of records since the position `began`, the largest first."""
    directory = await connection.fetchval("SHOW data_directory")
    ended = await connection.fetchval("SELECT pg_current_wal_flush_lsn()::text")
    program = binaries.find().directory / "pg_waldump"
    if not program.exists():
        return []
    command = [str(program), "--path", f"{directory}/pg_wal", "--start", began, "--end", ended]
    pipe = asyncio.subprocess.PIPE
    ran = await asyncio.create_subprocess_exec(*command, "--stats=record", stdout=pipe, stderr=pipe)
    output, _ = await ran.communicate()
    kinds = sorted(_kinds(output.decode()), key=lambda kind: -kind[2])
    largest = sum(size for _, _, size in kinds) * SHARE_SHOWN
    return [
        f"    {name:<24} {size / deliveries:6.0f} bytes of WAL, {number / deliveries:5.2f} records a delivery"
        for name, number, size in kinds
        if size >= largest
    ]


def _kinds(report: str) -> Iterator[tuple[str, int, int]]:
    """Yield each kind of record, how many there are, and their bytes without page images."""
    for line in report.splitlines():
        if match := ROW.match(line):
            yield match[1], int(match[2]), int(match[3])
