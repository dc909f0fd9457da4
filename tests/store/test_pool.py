"""Connections for requests: shared out between environments, and waited for with a limit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from dispatcher.store.pool import Pool, PoolBusyError
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.waiting import until


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    sessions = [Session(dsn, f"people-{n}") for n in range(4)]
    yield Pool(sessions, wait_seconds=0.05)
    for session in sessions:
        await session.close()


async def test_one_environment_cannot_take_all_connections(pool: Pool) -> None:
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(pool.of("env_a").transaction())
        with pytest.raises(PoolBusyError):
            await pool.of("env_a").fetch("SELECT 1")
        assert await pool.of("env_b").fetch("SELECT 1")
        for _ in range(2):
            await held.enter_async_context(pool.of("env_b").transaction())
        with pytest.raises(PoolBusyError, match="connections"):
            await pool.of("env_c").fetch("SELECT 1")
    assert await pool.of("env_a").fetch("SELECT 1")


async def test_a_flood_of_one_environment_does_not_hold_up_another(pool: Pool) -> None:
    async def flood() -> None:
        async with asyncio.timeout(30):
            while not done.is_set():
                await asyncio.gather(
                    *(pool.of("env_a").fetch("SELECT pg_sleep(0.02)") for _ in range(8)),
                    return_exceptions=True,
                )

    done = asyncio.Event()
    flooding = asyncio.create_task(flood())
    for _ in range(10):
        assert await pool.of("env_b").fetch("SELECT 1")
    done.set()
    await flooding


async def test_an_error_within_a_transaction_is_not_reported_as_a_busy_pool(pool: Pool) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with pool.of("env_a").transaction():
            raise ValueError("mine")
    assert await pool.fetch("SELECT 1")


async def test_a_connection_closed_by_the_server_fails_no_request(
    pool: Pool, connection: Connection
) -> None:
    (row,) = await pool.fetch("SELECT pg_backend_pid() AS pid")
    opened = pool._free[-1]._connection
    assert opened is not None
    await connection.execute("SELECT pg_terminate_backend($1)", row["pid"])
    await until(opened.is_closed, "it is seen that the server has closed it")
    assert await pool.fetch("SELECT 1")
