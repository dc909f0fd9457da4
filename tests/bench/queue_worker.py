"""Workers on other queues in PostgreSQL that do the work of a delivery: sign, POST, record the attempt.

python queue_worker.py pgqueuer|procrastinate worker DSN URL   prints "ready", works until its input is closed
python queue_worker.py pgqueuer|procrastinate producer DSN     prints "ready", enqueues as many jobs as each line says

It runs in an environment of its own (queue_worker.txt). The settings are those that the documents of
both advise for many short jobs: large batches and a pool of connections for PgQueuer; concurrency, no
more connections than that, and ended jobs deleted for Procrastinate.
"""

# What it imports is not installed where types are checked.
# mypy: disable-error-code="import-not-found, untyped-decorator"

import asyncio
import base64
import hashlib
import hmac
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import uvloop

BODY = (
    '{"event":"user.created","event_id":"evt_1","timestamp":"2026-02-26T12:00:00.000Z",'
    '"environment_id":"env_default","data":{"id":"usr_1","first_name":"Jane","last_name":"Doe",'
    '"email":"jane@example.com"}}'
)
SECRET = b"k" * 48
TOGETHER = 100
"""Jobs that are enqueued in one statement, as many as the events of one transaction of ours."""
BATCH = 100
CONCURRENCY = 32
TABLE = """CREATE TABLE IF NOT EXISTS queue_attempts (
  id bigserial PRIMARY KEY, delivery text NOT NULL, status integer NOT NULL, body text NOT NULL,
  duration_ms double precision NOT NULL, at timestamptz NOT NULL DEFAULT now())"""
RECORD = "INSERT INTO queue_attempts (delivery, status, body, duration_ms) VALUES ($1, $2, $3, $4)"

Deliver = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def delivering(pool: "asyncpg.Pool[Any]", url: str) -> AsyncIterator[Deliver]:
    """Give the work of one job: sign the body, POST it, record the attempt."""
    await pool.execute(TABLE)

    async def deliver(body: str) -> None:
        name, now, payload = uuid4().hex, str(int(time.time())), body.encode()
        mac = hmac.new(SECRET, f"{name}.{now}.".encode() + payload, hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        }
        began = time.monotonic()
        async with session.post(url, data=payload, headers=headers) as answer:
            text = await answer.text()
        took = (time.monotonic() - began) * 1000
        await pool.execute(RECORD, name, answer.status, text, took)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield deliver


async def pgqueuer_worker(dsn: str, url: str) -> None:
    from pgqueuer.db import AsyncpgPoolDriver
    from pgqueuer.qm import QueueManager
    from pgqueuer.queries import Queries

    async with (
        asyncpg.create_pool(dsn, min_size=4, max_size=16) as pool,
        delivering(pool, url) as deliver,
    ):
        queries = Queries(AsyncpgPoolDriver(pool))
        if not await queries.schema_is_installed():
            await queries.install()
        manager = QueueManager(queries)

        @manager.entrypoint("post")
        async def post(job: Any) -> None:
            await deliver(job.payload.decode())

        running = asyncio.create_task(manager.run(batch_size=BATCH, max_concurrent_tasks=2 * BATCH))
        print("ready", flush=True)
        await _input_closed(running)
        manager.shutdown.set()
        await running


async def pgqueuer_producer(dsn: str) -> None:
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    queries = Queries(AsyncpgDriver(await asyncpg.connect(dsn)))

    async def enqueue(number: int) -> None:
        await queries.enqueue(["post"] * number, [BODY.encode()] * number, [0] * number)

    await _produce(enqueue)


def _procrastinate(dsn: str, size: int) -> Any:
    import procrastinate

    connector = procrastinate.PsycopgConnector(conninfo=dsn, min_size=4, max_size=size)
    return procrastinate.App(connector=connector)


async def procrastinate_worker(dsn: str, url: str) -> None:
    app = _procrastinate(dsn, CONCURRENCY)
    async with (
        app.open_async(),
        asyncpg.create_pool(dsn, min_size=4, max_size=16) as pool,
        delivering(pool, url) as deliver,
    ):
        if not await pool.fetchval("SELECT to_regclass('procrastinate_jobs')"):
            await app.schema_manager.apply_schema_async()

        @app.task(name="post")
        async def post(body: str) -> None:
            await deliver(body)

        running = asyncio.create_task(
            app.run_worker_async(
                concurrency=CONCURRENCY,
                delete_jobs="always",
                install_signal_handlers=False,
                fetch_job_polling_interval=1.0,
            )
        )
        print("ready", flush=True)
        await _input_closed(running)
        running.cancel()
        await asyncio.wait({running})


async def procrastinate_producer(dsn: str) -> None:
    app = _procrastinate(dsn, 4)
    async with app.open_async():
        task = app.configure_task("post")

        async def enqueue(number: int) -> None:
            await task.batch_defer_async(*[{"body": BODY}] * number)

        await _produce(enqueue)


async def _produce(enqueue: Callable[[int], Awaitable[None]]) -> None:
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        left = int(line)
        while left:
            number = min(TOGETHER, left)
            await enqueue(number)
            left -= number


async def _input_closed(running: "asyncio.Task[None]") -> None:
    """Wait until the input is closed, or the worker has failed."""
    closed = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait({closed, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()


ROLES: dict[tuple[str, str], Callable[..., Coroutine[Any, Any, None]]] = {
    ("pgqueuer", "worker"): pgqueuer_worker,
    ("pgqueuer", "producer"): pgqueuer_producer,
    ("procrastinate", "worker"): procrastinate_worker,
    ("procrastinate", "producer"): procrastinate_producer,
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    uvloop.run(ROLES[sys.argv[1], sys.argv[2]](*sys.argv[3:]))
