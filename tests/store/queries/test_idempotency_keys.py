"""Idempotency keys: the same key in the same environment emits once, also for concurrent producers."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.store.queries.events import Events
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows

EMIT = "SELECT dispatcher.emit('a', to_json($2::text), idempotency_key => $1)"
INSERT = "INSERT INTO dispatcher.events (type, data, idempotency_key) VALUES ('a', '1', $1)"


@pytest.fixture
async def second(dsn: str) -> AsyncIterator[Connection]:
    async with connected(dsn) as opened:
        yield opened


@pytest.fixture
async def watcher(dsn: str) -> AsyncIterator[Connection]:
    async with connected(dsn) as opened:
        yield opened


async def count(connection: Connection) -> int:
    """Return the number of events. Fail if one is not in the inbox."""
    events: int = await connection.fetchval("SELECT count(*) FROM dispatcher.events")
    assert len(await rows.inbox(connection)) == events
    return events


async def test_the_same_key_returns_the_first_event_and_emits_nothing(
    connection: Connection, session: Session
) -> None:
    events = Events(session)
    first = await events.emit("a", "1", environment_id="env_default", idempotency_key="k")
    again = await events.emit("b.c", "2", environment_id="env_default", idempotency_key="k")
    assert again == first
    assert await connection.fetchval("SELECT data::text FROM dispatcher.events") == "1"
    assert await count(connection) == 1


async def test_the_same_key_in_another_environment_is_another_key(
    connection: Connection, session: Session
) -> None:
    events = Events(session)
    await rows.environment(connection, "env_b")
    names = {
        await events.emit("a", "1", environment_id=environment, idempotency_key="k")
        for environment in ("env_default", "env_b")
    }
    assert len(names) == await count(connection) == 2


async def test_events_without_a_key_are_all_emitted(connection: Connection) -> None:
    for _ in range(2):
        await connection.execute(INSERT, None)
    assert await count(connection) == 2
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.idempotency_keys") == 0


async def test_a_plain_insert_with_a_repeated_key_inserts_nothing(connection: Connection) -> None:
    assert await connection.execute(INSERT, "k") == "INSERT 0 1"
    assert await connection.execute(INSERT, "k") == "INSERT 0 0"
    assert await count(connection) == 1


async def test_keys_repeated_within_one_statement_are_emitted_once(connection: Connection) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.events (type, data, idempotency_key)
           SELECT 'a', to_json(n), 'k' || n % 3 FROM generate_series(1, 9) AS n"""
    )
    await connection.copy_records_to_table(
        "events",
        schema_name="dispatcher",
        columns=["type", "data", "idempotency_key"],
        records=[("a", "1", "k1"), ("a", "1", "l"), ("a", "1", "l")],
    )
    assert await count(connection) == 4


@pytest.mark.parametrize("key", ["k", "x" * 255, "ä" * 127, " ", "k'; --"])
async def test_a_key_of_1_to_255_bytes_is_taken(connection: Connection, key: str) -> None:
    assert await connection.fetchval(EMIT, key, "1") == await connection.fetchval(EMIT, key, "2")


@pytest.mark.parametrize("key", ["", "x" * 256, "ä" * 128])
async def test_a_key_of_other_lengths_is_refused(connection: Connection, key: str) -> None:
    for statement, values in ((INSERT, (key,)), (EMIT, (key, "1"))):
        with pytest.raises(
            asyncpg.CheckViolationError, match="idempotency_key must be 1 to 255 bytes"
        ):
            await connection.fetch(statement, *values)
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.idempotency_keys") == 0


async def test_a_refused_event_does_not_use_up_its_key(connection: Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="the limit is"):
        await connection.fetchval(EMIT, "k", "x" * 300_000)
    await connection.fetchval(EMIT, "k", "1")
    assert await count(connection) == 1


async def test_a_duplicate_waits_for_the_firsts_commit_and_gets_its_event(
    connection: Connection, second: Connection, watcher: Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    first = await connection.fetchval(EMIT, "k", "first")
    duplicate = asyncio.create_task(second.fetchval(EMIT, "k", "second"))
    await rows.waits_for_lock(watcher, second.get_server_pid())
    assert not duplicate.done()
    await transaction.commit()
    assert await duplicate == first
    assert await count(watcher) == 1


async def test_if_the_first_emit_rolls_back_the_second_emits(
    connection: Connection, second: Connection, watcher: Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    first = await connection.fetchval(EMIT, "k", "first")
    duplicate = asyncio.create_task(second.fetchval(EMIT, "k", "second"))
    await rows.waits_for_lock(watcher, second.get_server_pid())
    await transaction.rollback()
    assert await duplicate != first
    assert await watcher.fetchval("SELECT data::text FROM dispatcher.events") == '"second"'
    assert await count(watcher) == 1


async def test_a_repeatable_read_transaction_sees_a_serialization_failure_not_a_second_event(
    connection: Connection, second: Connection
) -> None:
    transaction = second.transaction(isolation="repeatable_read")
    await transaction.start()
    await second.fetchval("SELECT 1 FROM dispatcher.settings")  # its snapshot is taken here
    await connection.fetchval(EMIT, "k", "first")
    with pytest.raises(asyncpg.SerializationError):
        await second.fetchval(EMIT, "k", "second")
    await transaction.rollback()
    assert await count(connection) == 1


async def test_twenty_producers_of_one_key_at_once_get_one_event(dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=20, max_size=20) as pool:
        names = await asyncio.gather(*(pool.fetchval(EMIT, "k", str(n)) for n in range(20)))
        assert len(set(names)) == 1
        assert await pool.fetchval("SELECT count(*) FROM dispatcher.inbox") == 1
