"""Workers on PgQueuer and Procrastinate beside ours: started in an environment of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg

from tests.bench import installed, stage

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "queue_worker.txt"
SCRIPT = HERE / "queue_worker.py"
NUMBERS = {"pgqueuer": 2_000, "procrastinate": 500}
"""Jobs a round: some seconds of work for each."""
RECORDED = "SELECT count(*) >= {} FROM queue_attempts"


@dataclass(slots=True)
class OtherQueue:
    """A worker and a producer of another queue, with a database of their own."""

    name: str
    receiver: stage.Receiver
    connection: "asyncpg.Connection[Any]"
    producer: asyncio.subprocess.Process

    async def rate(self) -> float:
        """Return deliveries a second, from the first job enqueued to the last attempt recorded."""
        number = NUMBERS[self.name]
        assert self.producer.stdin is not None
        await self.receiver.ask("count")
        before = await self.connection.fetchval("SELECT count(*) FROM queue_attempts")
        began = monotonic()
        self.producer.stdin.write(f"{number}\n".encode())
        await self.receiver.counted(number)
        await stage.until(self.connection, RECORDED.format(before + number))
        return number / (monotonic() - began)


def install() -> str | None:
    """Install both, once. Return the program that runs them, None if they cannot be installed."""
    programs = installed.install("queues", REQUIREMENTS)
    return str(programs / "python") if programs else None


@asynccontextmanager
async def working(
    python: str, name: str, dsn: str, receiver: stage.Receiver
) -> AsyncIterator[OtherQueue]:
    """Start a worker and a producer, and warm them."""
    database = f"queue_{name}"
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"CREATE DATABASE {database}")
    own = dsn.replace("/dispatcher?", f"/{database}?")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(admin.close)
        await _start(stack, python, (name, "worker", own, receiver.url))
        producer = await _start(stack, python, (name, "producer", own))
        connection = await asyncpg.connect(own)
        stack.push_async_callback(connection.close)
        queue = OtherQueue(name, receiver, connection, producer)
        await queue.rate()
        yield queue


async def _start(
    stack: AsyncExitStack, python: str, args: tuple[str, ...]
) -> asyncio.subprocess.Process:
    """Start one process of a queue, and wait until it is ready."""
    started = await stack.enter_async_context(stage.process(str(SCRIPT), *args, python=python))
    assert started.stdout is not None
    if await started.stdout.readline() != b"ready\n":
        raise RuntimeError(f"the {args[1]} of {args[0]} did not start")
    return started
