"""A session: one connection, found lost when it is used, opened again when it is needed."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest

from dispatcher.store.session import LockTableFullError, Session, StatementTimeout, StoreUnavailable
from tests.conftest import Connection
from tests.store import rows

ACTIVE = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1"
SECRET_DSN = "postgresql://someone:hunter2@127.0.0.1:1/nowhere"


async def pid(session: Session) -> int:
    number: int = (await session.fetch("SELECT pg_backend_pid()"))[0][0]
    return number


async def kill(connection: Connection, session: Session) -> None:
    await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", await pid(session))


async def test_statements_share_one_connection_and_its_settings(dsn: str) -> None:
    session = Session(dsn, "one", statement_timeout=2.5, settings={"synchronous_commit": "off"})
    assert await pid(session) == await pid(session)
    found = await session.fetch(
        """SELECT current_setting('application_name'), current_setting('synchronous_commit'),
                  current_setting('statement_timeout'), current_setting('timezone'), current_setting('jit')"""
    )
    assert tuple(found[0]) == ("dispatcher/one", "off", "2500ms", "UTC", "off")
    assert repr(session) == "<Session one open>"
    await session.close()
    assert repr(session) == "<Session one closed>"


async def test_a_connection_that_was_ended_is_told_once_and_the_next_statement_opens_another(
    connection: Connection, session: Session
) -> None:
    told = []
    session.on_lost = lambda: told.append(1)
    first = await pid(session)
    await kill(connection, session)
    with pytest.raises(StoreUnavailable):
        await session.fetch("SELECT 1")
    assert told == [1]
    assert await pid(session) != first


async def test_a_connection_ended_in_the_middle_of_a_statement_is_lost(
    connection: Connection, session: Session
) -> None:
    backend = await pid(session)
    sleeping = asyncio.create_task(session.fetch("SELECT pg_sleep(30)"))
    await rows.until(connection, ACTIVE, backend)
    await connection.fetchval("SELECT pg_terminate_backend($1)", backend)
    with pytest.raises(StoreUnavailable):
        await sleeping


async def test_a_statement_that_takes_too_long_is_given_up_and_the_connection_kept(
    dsn: str,
) -> None:
    session = Session(dsn, "short", statement_timeout=0.05)
    backend = await pid(session)
    with pytest.raises(StatementTimeout):
        await session.fetch("SELECT pg_sleep(5)")
    assert await pid(session) == backend
    await session.close()


async def test_a_statement_that_waits_too_long_for_a_lock_can_be_repeated(
    connection: Connection, dsn: str
) -> None:
    session = Session(dsn, "short", statement_timeout=0.2)
    backend = await pid(session)
    async with connection.transaction():
        await connection.execute("LOCK TABLE dispatcher.settings")
        with pytest.raises(StoreUnavailable, match="lock"):
            await session.fetch("SELECT 1 FROM dispatcher.settings")
    assert await pid(session) == backend
    await session.close()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT 1 / $1::int", 0),
        ("SELECT $1::text", "\x00"),
        ("SELECT $1::text", "\ud800"),
        ("SELECT $1::smallint", 70_000),
        ("SELECT $1::json", "{"),
    ],
)
async def test_a_value_that_is_refused_is_no_fault_of_the_connection(
    session: Session, query: str, value: object
) -> None:
    backend = await pid(session)
    with pytest.raises(asyncpg.DataError):
        await session.fetch(query, value)
    assert await pid(session) == backend


async def test_a_database_that_can_not_be_reached_is_unavailable_and_its_address_unsaid() -> None:
    session = Session(SECRET_DSN, "away", statement_timeout=2)
    with pytest.raises(StoreUnavailable) as away:
        await session.fetch("SELECT 1")
    assert "hunter2" not in f"{away.value} {session!r}"


async def test_a_full_lock_table_is_named_and_no_fault_of_the_connection(session: Session) -> None:
    backend = await pid(session)
    with pytest.raises(LockTableFullError, match="set max_locks_per_transaction higher"):
        await session.fetch(
            "DO $$ BEGIN RAISE EXCEPTION 'out of shared memory' USING ERRCODE = '53200'; END $$"
        )
    assert await pid(session) == backend


async def test_a_database_that_is_not_there_is_unavailable(dsn: str) -> None:
    session = Session(dsn.replace("/dispatcher_test_", "/missing_"), "missing")
    with pytest.raises(StoreUnavailable, match="does not exist"):
        await session.fetch("SELECT 1")


async def test_a_cancelled_statement_gives_its_connection_up(
    connection: Connection, session: Session
) -> None:
    backend = await pid(session)
    sleeping = asyncio.create_task(session.fetch("SELECT pg_sleep(30)"))
    await rows.until(connection, ACTIVE, backend)
    sleeping.cancel()
    with suppress(asyncio.CancelledError):
        await sleeping
    assert await pid(session) != backend


async def test_statements_of_many_tasks_take_turns(session: Session) -> None:
    answers = await asyncio.gather(*(session.fetch("SELECT $1::int", n) for n in range(50)))
    assert [found[0][0] for found in answers] == list(range(50))


async def test_a_setting_changed_holds_for_the_connections_to_come(
    connection: Connection, session: Session
) -> None:
    shown = "SELECT current_setting('synchronous_commit')"
    await session.set("synchronous_commit", "off")
    assert (await session.fetch(shown))[0][0] == "off"
    await session.set("synchronous_commit", "local")
    assert (await session.fetch(shown))[0][0] == "local"
    await kill(connection, session)
    with pytest.raises(StoreUnavailable):
        await session.fetch(shown)
    assert (await session.fetch(shown))[0][0] == "local"


async def test_what_is_notified_is_heard_again_after_listening_anew(
    connection: Connection, session: Session
) -> None:
    heard = asyncio.Event()
    assert await session.listen("dispatcher", heard.set)
    assert not await session.listen("dispatcher", heard.set)
    await kill(connection, session)
    with pytest.raises(StoreUnavailable):
        await session.fetch("SELECT 1")
    assert not session.listening
    assert await session.listen("dispatcher", heard.set)
    await connection.execute("NOTIFY dispatcher")
    async with asyncio.timeout(5):
        await heard.wait()


async def test_a_dropped_connection_is_not_used_again(session: Session) -> None:
    backend = await pid(session)
    session.drop()
    assert await pid(session) != backend
