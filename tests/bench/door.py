"""What an event costs that is emitted over HTTP: CPU of the daemon and of PostgreSQL, by request.

Single events, with and without an Idempotency-Key, batches of 100, and pages of 20 events.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from uuid import uuid4

import asyncpg

from tests.bench import stage
from tests.bench.figures import Figure, Report

CONNECTIONS = 32
SECONDS = 4.0
DATA = b'{"id":"usr_1","first_name":"Jane","last_name":"Doe","email":"jane@example.com","n":1.10}'
EVENT = b'{"type":"user.created","data":' + DATA + b"}"
BATCH = 100
DAYS = 30
"""Partitions of days before today, as after a month."""
PORT = 18467

PARTITIONS = """
SELECT dispatcher.make_partition(parent, (now() AT TIME ZONE 'UTC')::date - n)
FROM generate_series(1, $1::int) AS n, unnest('{events,attempts}'::text[]) AS parent
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of request. `events` is how many events one request emits."""

    name: str
    method: str
    path: str
    body: bytes = b""
    media_type: str = "application/json"
    has_key: bool = False
    events: int = 1
    connections: int = CONNECTIONS
    cpu_bar_ms: float | None = None
    rate_bar: float | None = None


CASES = (
    Case("one event", "POST", "/api/events", EVENT, cpu_bar_ms=0.5, rate_bar=2_500),
    Case("one event, with a key", "POST", "/api/events", EVENT, has_key=True),
    Case(
        f"{BATCH} events, an array",
        "POST",
        "/api/events",
        b"[" + b",".join([EVENT] * BATCH) + b"]",
        events=BATCH,
        rate_bar=20_000,
    ),
    Case(
        f"{BATCH} events, NDJSON",
        "POST",
        "/api/events",
        b"\n".join([EVENT] * BATCH),
        media_type="application/x-ndjson",
        events=BATCH,
        rate_bar=20_000,
    ),
    Case("a page of 20 events", "GET", "/api/events?limit=20", connections=8, cpu_bar_ms=2),
)


async def measure(dsn: str, *, seconds: float = SECONDS) -> Report:
    """Requests and events a second, and CPU a request, for each case."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(PARTITIONS.replace("$1", str(DAYS)))
        server = stage.server_pid(await connection.fetchval("SHOW data_directory"))
    finally:
        await connection.close()
    made = stage.dispatcher(
        dsn, "token", "create", "--environment", "env_default", "--scope", "write", "--json"
    )
    report = Report([])
    async with stage.sending(dsn, admin_port=PORT) as pid:
        for case in CASES:
            line, figures = await _asked(case, made["token"], (pid, server), seconds)
            report.lines.append(line)
            report.figures.extend(figures)
            await _drained(dsn)
    return report


async def _asked(
    case: Case, token: str, pids: tuple[int, int], seconds: float
) -> tuple[str, list[Figure]]:
    await _load(case, token, 0.5)
    pid, server = pids
    daemon, postgres = stage.cpu_seconds(pid), stage.children_cpu_seconds(server)
    began = monotonic()
    answered = await _load(case, token, seconds)
    took = monotonic() - began
    daemon = stage.cpu_seconds(pid) - daemon
    postgres = stage.children_cpu_seconds(server) - postgres
    both = (daemon + postgres) / answered * 1000
    line = (
        f"{case.name:<26} {answered / took:7.0f} requests/s {answered * case.events / took:8.0f} items/s"
        f"   ms of CPU a request: daemon {daemon / answered * 1000:6.3f}"
        f"  PostgreSQL {postgres / answered * 1000:6.3f}  both {both:6.3f}"
    )
    name = f"HTTP, {case.name}"
    figures = [Figure(f"{name}, CPU in all", both, "ms", case.cpu_bar_ms)]
    rate = answered * case.events / took
    figures.append(Figure(f"{name}, items/s", rate, "/s", case.rate_bar, at_most=False))
    return line, figures


async def _load(case: Case, token: str, seconds: float) -> int:
    """Ask over all connections of the case. Return the number of answers."""
    until = monotonic() + seconds
    counts = await asyncio.gather(*(_client(case, token, until) for _ in range(case.connections)))
    return sum(counts)


async def _client(case: Case, token: str, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    head = (
        f"{case.method} {case.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        + (f"Content-Type: {case.media_type}\r\n" if case.body else "")
        + f"Content-Length: {len(case.body)}\r\n"
    )
    count = 0
    while monotonic() < until:
        key = f"Idempotency-Key: {uuid4()}\r\n" if case.has_key else ""
        writer.write(f"{head}{key}\r\n".encode() + case.body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if answer[9:11] != b"20":
            raise RuntimeError(f"{case.name}: {answer[:100]!r}")
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))
        count += 1
    writer.close()
    return count


async def _drained(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await stage.until(connection, "SELECT NOT EXISTS (SELECT 1 FROM dispatcher.inbox)")
    finally:
        await connection.close()
