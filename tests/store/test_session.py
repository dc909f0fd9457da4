"""A session: one connection, found lost when it is used, opened again when it is needed."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from dispatcher.store.errors import (
    LockTableFullError,
    PermissionDeniedError,
    StatementTimeoutError,
    StoreError,
    StoreUnavailableError,
    TransactionConflictError,
)
from dispatcher.store.session import Session, Transaction
from tests.conftest import Connection
from tests.silent_proxy import Proxy
from tests.store import rows

ACTIVE = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1"
SHORTER = "SELECT set_config('statement_timeout', $1, false)"
"""Makes the limit of later statements shorter, as those before it may take long on a busy machine."""
SECRET_DSN = "postgresql://someone:hunter2@127.0.0.1:1/nowhere"


async def pid(session: Session) -> int:
    number: int = (await session.fetch("SELECT pg_backend_pid()"))[0][0]
    return number


def server_pid(session: Session) -> int:
    """Return the process of the session at the server, without a statement."""
    assert session._connection is not None
    number: int = session._connection.get_server_pid()
    return number


async def kill(connection: Connection, session: Session) -> None:
    await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", await pid(session))


async def test_statements_share_one_connection_and_its_settings(dsn: str) -> None:
    session = Session(dsn, "one", statement_timeout=2.5, settings={"synchronous_commit": "off"})
    assert await pid(session) == await pid(session)
    records = await session.fetch(
        """SELECT current_setting('application_name'), current_setting('synchronous_commit'),
                  current_setting('statement_timeout'), current_setting('timezone'), current_setting('jit')"""
    )
    assert tuple(records[0]) == ("dispatcher/one", "off", "2500ms", "UTC", "off")
    assert repr(session) == "<Session one open>"
    await session.close()
    assert repr(session) == "<Session one closed>"


async def test_a_lost_connection_is_reported_once_and_replaced(
    connection: Connection, session: Session
) -> None:
    losses = []
    session.on_lost = lambda: losses.append(1)
    first = await pid(session)
    await kill(connection, session)
    with pytest.raises(StoreUnavailableError):
        await session.fetch("SELECT 1")
    assert losses == [1]
    assert await pid(session) != first


async def test_a_connection_that_ends_during_a_statement_is_lost(
    connection: Connection, session: Session
) -> None:
    backend = await pid(session)
    sleeping = asyncio.create_task(session.fetch("SELECT pg_sleep(30)"))
    await rows.until_true(connection, ACTIVE, backend)
    await connection.fetchval("SELECT pg_terminate_backend($1)", backend)
    with pytest.raises(StoreUnavailableError):
        await sleeping


async def test_a_statement_timeout_keeps_the_connection(
    dsn: str,
) -> None:
    session = Session(dsn, "short")
    backend = await pid(session)
    await session.fetch(SHORTER, "50ms")
    with pytest.raises(StatementTimeoutError):
        await session.fetch("SELECT pg_sleep(5)")
    assert server_pid(session) == backend
    await session.close()


async def test_a_statement_that_waits_too_long_for_a_lock_can_be_repeated(
    connection: Connection, dsn: str
) -> None:
    session = Session(dsn, "short", statement_timeout=2)
    backend = await pid(session)
    async with connection.transaction():
        await connection.execute("LOCK TABLE dispatcher.settings")
        with pytest.raises(StoreError, match="lock"):
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
async def test_a_refused_value_keeps_the_connection(
    session: Session, query: str, value: object
) -> None:
    backend = await pid(session)
    with pytest.raises(asyncpg.DataError):
        await session.fetch(query, value)
    assert await pid(session) == backend


async def test_an_unreachable_database_is_unavailable_and_the_error_has_no_address() -> None:
    session = Session(SECRET_DSN, "away", statement_timeout=2)
    with pytest.raises(StoreUnavailableError) as away:
        await session.fetch("SELECT 1")
    assert "hunter2" not in f"{away.value} {session!r}"


async def test_a_full_lock_table_is_named_and_keeps_the_connection(session: Session) -> None:
    backend = await pid(session)
    with pytest.raises(LockTableFullError, match="set max_locks_per_transaction higher"):
        await session.fetch(
            "DO $$ BEGIN RAISE EXCEPTION 'out of shared memory' USING ERRCODE = '53200'; END $$"
        )
    assert await pid(session) == backend


async def test_a_missing_database_is_unavailable(dsn: str) -> None:
    session = Session(dsn.replace("/dispatcher_test_", "/missing_"), "missing")
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        await session.fetch("SELECT 1")


async def test_a_cancelled_statement_closes_its_connection(
    connection: Connection, session: Session
) -> None:
    backend = await pid(session)
    sleeping = asyncio.create_task(session.fetch("SELECT pg_sleep(30)"))
    await rows.until_true(connection, ACTIVE, backend)
    sleeping.cancel()
    with suppress(asyncio.CancelledError):
        await sleeping
    assert await pid(session) != backend


async def test_statements_of_many_tasks_take_turns(session: Session) -> None:
    answers = await asyncio.gather(*(session.fetch("SELECT $1::int", n) for n in range(50)))
    assert [answer[0][0] for answer in answers] == list(range(50))


async def test_a_changed_setting_applies_to_later_connections(
    connection: Connection, session: Session
) -> None:
    shown = "SELECT current_setting('synchronous_commit')"
    await session.set("synchronous_commit", "off")
    assert (await session.fetch(shown))[0][0] == "off"
    await session.set("synchronous_commit", "local")
    assert (await session.fetch(shown))[0][0] == "local"
    await kill(connection, session)
    with pytest.raises(StoreUnavailableError):
        await session.fetch(shown)
    assert (await session.fetch(shown))[0][0] == "local"


async def test_notifications_arrive_again_after_listening_again(
    connection: Connection, session: Session
) -> None:
    heard = asyncio.Event()
    assert await session.listen("dispatcher", heard.set)
    assert not await session.listen("dispatcher", heard.set)
    await kill(connection, session)
    with pytest.raises(StoreUnavailableError):
        await session.fetch("SELECT 1")
    assert not session.listens_to("dispatcher")
    assert await session.listen("dispatcher", heard.set)
    await connection.execute("NOTIFY dispatcher")
    async with asyncio.timeout(30):
        await heard.wait()


async def test_a_dropped_connection_is_not_used_again(session: Session) -> None:
    backend = await pid(session)
    session.drop()
    assert await pid(session) != backend


@pytest.mark.parametrize("iterations", range(8))
async def test_a_connection_dropped_between_two_steps_of_a_statement_is_lost(
    dsn: str, iterations: int
) -> None:
    """The driver then has no answer, and no connection to send the next step on."""
    async with Proxy(dsn) as proxy:
        session = Session(proxy.dsn, "one")
        await session.open()
        proxy.answered.clear()
        asked = asyncio.create_task(session.fetch("SELECT $1::int", 1))
        await proxy.answered.wait()  # the statement is prepared
        for _ in range(iterations):
            await asyncio.sleep(0)
        session.drop()
        with suppress(StoreUnavailableError):
            assert [row[0] for row in await asked] == [1]
        assert await pid(session)
        await session.close()


@pytest.mark.parametrize("iterations", range(8))
async def test_a_connection_dropped_as_it_begins_to_listen_is_listened_on_again(
    dsn: str, connection: Connection, iterations: int
) -> None:
    heard = asyncio.Event()
    async with Proxy(dsn) as proxy:
        session = Session(proxy.dsn, "one")
        await session.open()
        proxy.answered.clear()
        listening = asyncio.create_task(session.listen("dispatcher", heard.set))
        await proxy.answered.wait()
        for _ in range(iterations):
            await asyncio.sleep(0)
        session.drop()
        with suppress(StoreUnavailableError):
            await listening
        assert await session.listen("dispatcher", heard.set)
        await connection.execute("NOTIFY dispatcher")
        async with asyncio.timeout(30):
            await heard.wait()
        await session.close()


# ── whose fault it is ────────────────────────────────────────────────────────────────────────────

ENVIRONMENT = "INSERT INTO dispatcher.environments (id, name) VALUES ($1, 'x')"
FOUND = "SELECT count(*) FROM dispatcher.environments WHERE id LIKE 'env_x%'"


async def transact(session: Session, body: Callable[[Transaction], Awaitable[object]]) -> None:
    async with session.transaction() as opened:
        await body(opened)


CANCEL = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'query_canceled'; END $$"


def refuse(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Let the server cancel each command that begins so."""
    execute = asyncpg.Connection.execute

    async def refused(self: Connection, query: str, **rest: Any) -> str:
        return await execute(self, CANCEL if query.startswith(command) else query, **rest)

    monkeypatch.setattr(asyncpg.Connection, "execute", refused)


@pytest.fixture
def lost(session: Session) -> list[int]:
    """One entry for each time that the session's connection was found to be lost."""
    times: list[int] = []
    session.on_lost = lambda: times.append(1)
    return times


async def test_a_wrong_number_of_arguments_is_raised_as_it_is(
    session: Session, lost: list[int]
) -> None:
    backend = await pid(session)
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        await session.fetch("SELECT $1::int", 1, 2)
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        await transact(session, lambda opened: opened.fetch("SELECT $1::int"))
    assert await pid(session) == backend
    assert lost == []


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("a file"),
        TimeoutError("of something else"),
        ConnectionResetError("of something else"),
        EOFError(),
        KeyError("x"),
    ],
)
async def test_an_error_in_the_body_of_a_transaction_rolls_it_back(
    session: Session, lost: list[int], error: Exception
) -> None:
    async def body(opened: Transaction) -> None:
        await opened.fetch(ENVIRONMENT, "env_x")
        raise error

    backend = await pid(session)
    with pytest.raises(type(error)) as raised:
        await transact(session, body)
    assert raised.value is error
    assert (await session.fetch(FOUND))[0][0] == 0
    assert await pid(session) == backend
    assert lost == []


async def test_a_statement_timeout_is_raised_inside_a_transaction(dsn: str) -> None:
    async def body(opened: Transaction) -> None:
        await opened.fetch(ENVIRONMENT, "env_x")
        with suppress(StatementTimeoutError):
            await opened.fetch(SHORTER, "50ms")
            await opened.fetch("SELECT pg_sleep(5)")
        # Going on as if nothing had happened must not look like a commit.

    session = Session(dsn, "short")
    with pytest.raises(StatementTimeoutError):
        await transact(session, body)
    await session.fetch("RESET statement_timeout")
    assert (await session.fetch(FOUND))[0][0] == 0
    await session.close()


async def test_a_transaction_that_could_not_begin_does_not_harm_the_next(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "BEGIN")
    with pytest.raises(StatementTimeoutError):
        await transact(session, lambda opened: opened.fetch(ENVIRONMENT, "env_x"))
    monkeypatch.undo()
    await transact(session, lambda opened: opened.fetch(ENVIRONMENT, "env_x"))
    assert (await session.fetch(FOUND))[0][0] == 1


async def test_a_refused_savepoint_cannot_be_ignored(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(opened: Transaction) -> None:
        await opened.fetch(ENVIRONMENT, "env_x")
        with suppress(StatementTimeoutError):
            await opened.read("SELECT 1")

    refuse(monkeypatch, "SAVEPOINT")
    with pytest.raises(StatementTimeoutError):
        await transact(session, body)
    assert (await session.fetch(FOUND))[0][0] == 0


async def test_a_value_that_the_driver_refuses_leaves_the_transaction_usable(
    session: Session,
) -> None:
    async with session.transaction() as opened:
        await opened.fetch(ENVIRONMENT, "env_x")
        with pytest.raises(asyncpg.DataError):
            await opened.fetch("SELECT $1::smallint", 70_000)
    assert (await session.fetch(FOUND))[0][0] == 1


async def test_a_refused_row_stays_visible_and_cannot_be_ignored(session: Session) -> None:
    async def twice(opened: Transaction) -> None:
        await opened.fetch(ENVIRONMENT, "env_x")
        with suppress(asyncpg.UniqueViolationError):
            await opened.fetch(ENVIRONMENT, "env_x")

    with pytest.raises(asyncpg.UniqueViolationError):
        await transact(session, twice)
    assert (await session.fetch(FOUND))[0][0] == 0


@pytest.mark.parametrize(
    ("then", "expected"),
    [("ask", StoreUnavailableError), ("commit", StoreUnavailableError), ("raise", KeyError)],
)
async def test_a_connection_that_is_lost_inside_a_transaction_is_named_once(
    connection: Connection,
    session: Session,
    lost: list[int],
    then: str,
    expected: type[Exception],
) -> None:
    async def body(opened: Transaction) -> None:
        backend = (await opened.fetch("SELECT pg_backend_pid()"))[0][0]
        await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", backend)
        if then == "ask":
            await opened.fetch("SELECT 1")
        if then == "raise":
            raise KeyError

    with pytest.raises(expected):
        await transact(session, body)
    assert lost == [1]
    assert (await session.fetch("SELECT 1"))[0][0] == 1


async def test_a_cancelled_transaction_closes_its_connection(
    connection: Connection, session: Session
) -> None:
    entered = asyncio.Event()

    async def change() -> None:
        async with session.transaction() as opened:
            await opened.fetch(ENVIRONMENT, "env_x")
            entered.set()
            await asyncio.sleep(60)  # it is cancelled before

    changing = asyncio.create_task(change())
    await entered.wait()
    changing.cancel()
    with suppress(asyncio.CancelledError):
        await changing
    assert (await session.fetch(FOUND))[0][0] == 0


async def test_a_deadlock_is_reported_as_a_conflict_to_repeat(
    dsn: str, session: Session, other: Session, lost: list[int]
) -> None:
    for name in ("env_x1", "env_x2"):
        await session.fetch(ENVIRONMENT, name)
    change = "UPDATE dispatcher.environments SET name = 'y' WHERE id = $1"

    async def both(mine: Session, first: str, second: str, ready: asyncio.Barrier) -> None:
        async with mine.transaction() as opened:
            await opened.fetch(change, first)
            await ready.wait()
            await opened.fetch(change, second)

    ready = asyncio.Barrier(2)
    ended = await asyncio.gather(
        both(session, "env_x1", "env_x2", ready),
        both(other, "env_x2", "env_x1", ready),
        return_exceptions=True,
    )
    assert [type(end) for end in ended if end is not None] == [TransactionConflictError]
    assert lost == []


async def test_a_right_that_is_missing_is_named_with_the_role(
    maintenance: Connection, connection: Connection, dsn: str
) -> None:
    role = f"dispatcher_test_{secrets.token_hex(6)}"
    await maintenance.execute(f"CREATE ROLE {role} LOGIN IN ROLE dispatcher_producer")
    session = Session(dsn.replace("postgres@", f"{role}@", 1), "test")
    try:
        with pytest.raises(PermissionDeniedError) as denied:
            await session.fetch("SELECT 1 FROM dispatcher.tokens")
        assert str(denied.value) == (
            f"permission denied for table tokens, as role {role}: database.dsn must name the role"
            " that ran dispatcher migrate, or a member of it"
        )
    finally:
        await session.close()
        await maintenance.execute(f"DROP ROLE {role}")


async def test_a_setting_is_changed_after_running_statements(
    connection: Connection, session: Session, lost: list[int]
) -> None:
    """A connection that was lost before does not cost the one that was opened since."""
    backend = await pid(session)
    sleeping = asyncio.create_task(session.fetch("SELECT pg_sleep(30)"))
    await rows.until_true(connection, ACTIVE, backend)
    setting = asyncio.create_task(session.set("work_mem", "5MB"))
    shown = asyncio.create_task(session.fetch("SHOW work_mem"))
    await connection.fetchval("SELECT pg_terminate_backend($1)", backend)
    with pytest.raises(StoreUnavailableError):
        await sleeping
    await setting
    assert (await shown)[0][0] == "5MB"
    assert await pid(session) == await pid(session) != backend
    assert lost == [1]


async def test_a_prepared_statement_lost_by_a_pooler_is_explained(
    session: Session,
) -> None:
    statement = "SELECT 1"
    for _ in range(2):
        await session.fetch(statement)
    await session.fetch("DEALLOCATE ALL")
    with pytest.raises(StoreUnavailableError, match="a connection pooler in transaction mode"):
        await session.fetch(statement)
    assert await session.fetch(statement)
