"""The role an application needs: it emits, and can do nothing else."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.session import Session
from dispatcher.store.statements import statement
from tests.conftest import Connection, connected
from tests.store import rows

EXECUTABLE = {
    "emit(text,json,text,text,text)",
    "event_id()",  # the default of the id
}


@pytest.fixture
async def producer(dsn: str) -> AsyncIterator[Connection]:
    async with connected(dsn) as opened:
        await opened.execute("SET ROLE dispatcher_producer")
        yield opened


async def test_a_producer_can_insert_five_columns_and_emit(
    connection: Connection, producer: Connection
) -> None:
    await rows.environment(connection, "env_b")
    await producer.execute("INSERT INTO dispatcher.events (type, data) VALUES ('a', '1')")
    await producer.execute(
        """INSERT INTO dispatcher.events (type, data, environment_id, idempotency_key, reference)
           VALUES ('a', '1', 'env_b', 'k', 'ord_1') ON CONFLICT DO NOTHING"""
    )
    await producer.copy_records_to_table(
        "events", schema_name="dispatcher", columns=["type", "data"], records=[("a", "1")]
    )
    name = await producer.fetchval(
        "SELECT dispatcher.emit('a', '2', environment_id => 'env_b', idempotency_key => 'k', reference => 'o')"
    )
    assert name.startswith("evt_")
    assert len(await rows.inbox(connection)) == 3


async def test_a_producer_gets_the_reason_why_an_event_is_refused(producer: Connection) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="unknown environment 'env_x'"):
        await producer.fetchval("SELECT dispatcher.emit('a', '1', 'env_x')")
    with pytest.raises(asyncpg.CheckViolationError, match="type is reserved"):
        await producer.execute(
            "INSERT INTO dispatcher.events (type, data) VALUES ('endpoint.a', '1')"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO dispatcher.events (id, type, data) VALUES (1, 'a', '1')",
        "INSERT INTO dispatcher.events (type, data, source) VALUES ('a', '1', 'dispatcher')",
        "INSERT INTO dispatcher.events (type, data) VALUES ('a', '1') RETURNING id",
        "INSERT INTO dispatcher.events (type, data) VALUES ('a', '1') ON CONFLICT (id) DO NOTHING",
        "INSERT INTO dispatcher.events_default (type, data) VALUES ('a', '1')",
        "INSERT INTO dispatcher.inbox VALUES (1, 1, 'env_default', 'a')",
        "UPDATE dispatcher.events SET type = 'b'",
        "DELETE FROM dispatcher.events",
        "TRUNCATE dispatcher.events",
        "COPY dispatcher.events TO STDOUT",
        "SELECT nextval('dispatcher.id_seq')",
        "SELECT setval('dispatcher.poll_until', 1)",
        "SELECT last_value FROM dispatcher.listen_until",
        "SELECT dispatcher.wake()",
        "SELECT dispatcher.ensure_partitions(1)",
        "SELECT dispatcher.drop_partition('events', '1 day')",
        "SELECT dispatcher.patterns_of('a')",
        "CREATE TABLE dispatcher.mine ()",
        "BEGIN; LOCK TABLE dispatcher.events IN SHARE MODE",
    ],
)
async def test_a_producer_may_not_do_anything_else(producer: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"denied|must be owner"):
        await producer.execute(statement)


async def test_a_producer_reads_no_table_view_or_sequence(
    connection: Connection, producer: Connection
) -> None:
    names = await connection.fetch(
        """SELECT relname FROM pg_class WHERE relnamespace = 'dispatcher'::regnamespace
           AND relkind IN ('r', 'p', 'v', 'm', 'S')"""
    )
    assert len(names) > 20
    for (name,) in names:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await producer.fetch(f'SELECT 1 FROM dispatcher."{name}"')  # noqa: S608


@pytest.mark.parametrize("role", ["dispatcher_producer", "public"])
async def test_a_producer_can_execute_no_other_function(connection: Connection, role: str) -> None:
    functions = await connection.fetch(
        """SELECT oid::regprocedure::text AS name FROM pg_proc
           WHERE pronamespace = 'dispatcher'::regnamespace
           AND has_function_privilege($1, oid, 'EXECUTE')""",
        role,
    )
    allowed = EXECUTABLE if role == "dispatcher_producer" else set()
    assert {row["name"].removeprefix("dispatcher.") for row in functions} == allowed


async def test_functions_with_the_owners_rights_choose_their_own_search_path(
    connection: Connection,
) -> None:
    loose = await connection.fetch(
        """SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'dispatcher'::regnamespace
           AND prosecdef AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}'))"""
    )
    # event_id names nothing but one function, by its full name, whose own body was bound when it
    # was created. Every name and operator of the others has its schema: see test_search_path.py.
    assert sorted(str(row["oid"]) for row in loose) == [
        "dispatcher.event_checked()",
        "dispatcher.event_id()",
        "dispatcher.events_inserted()",
    ]
    body = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = 'event_id'")
    assert body.split() == ["BEGIN", "RETURN", "dispatcher.next_id();", "END"]


async def test_operators_of_a_producer_do_not_change_event_ids(
    connection: Connection, producer: Connection
) -> None:
    await connection.execute("CREATE SCHEMA theirs AUTHORIZATION dispatcher_producer")
    await producer.execute(
        """CREATE FUNCTION theirs.never(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';
           CREATE OPERATOR theirs.| (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = theirs.never);
           SET search_path = theirs, pg_catalog"""
    )
    await producer.execute("INSERT INTO dispatcher.events (type, data) VALUES ('a', '{}')")
    assert await connection.fetchval("SELECT id > 1000 FROM dispatcher.events")


async def test_operators_of_a_producer_do_not_bypass_the_check_of_reserved_types(
    connection: Connection, producer: Connection
) -> None:
    await connection.execute("CREATE SCHEMA theirs AUTHORIZATION dispatcher_producer")
    await producer.execute(
        """CREATE FUNCTION theirs.never(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
           CREATE OPERATOR theirs.~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = theirs.never);
           CREATE OPERATOR theirs.= (LEFTARG = text, RIGHTARG = text, FUNCTION = theirs.never);
           SET search_path = theirs, pg_catalog"""
    )
    for type_ in ("endpoint.disabled", "webhook.test"):
        with pytest.raises(asyncpg.CheckViolationError, match="type is reserved"):
            await producer.execute(
                "INSERT INTO dispatcher.events (type, data) VALUES ($1, '1')", type_
            )


async def test_settings_of_a_producer_do_not_bypass_the_check_of_types(
    producer: Connection,
) -> None:
    await producer.execute("SET standard_conforming_strings = off; SET array_nulls = off")
    for type_, complaint in (("a,b", "type must be words"), ("endpoint.a", "type is reserved")):
        with pytest.raises(asyncpg.CheckViolationError, match=complaint):
            await producer.execute(
                "INSERT INTO dispatcher.events (type, data) VALUES ($1, '1')", type_
            )
    await producer.execute("INSERT INTO dispatcher.events (type, data) VALUES ('a.b', '1')")


async def test_locks_of_a_producer_block_neither_fan_out_nor_retries(
    connection: Connection, producer: Connection, session: Session, owner: int
) -> None:
    ordered = await rows.endpoint(connection, "*", home=3)
    delivery = await rows.delivery(connection, ordered)
    event = await rows.event(connection)
    # Advisory locks are anybody's. These are the ones that have had a meaning here.
    await producer.execute(
        "SELECT pg_advisory_lock(1684632432, n) FROM generate_series(0, 99) AS n"
    )
    await producer.execute("SELECT pg_advisory_lock($1::bigint)", delivery.id)
    for table in ("ordered_fan_out_lock", "delivery_locks"):
        for lock in (
            f"LOCK TABLE dispatcher.{table}",
            f"PERFORM 1 FROM dispatcher.{table} FOR SHARE",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await producer.execute(f"DO $$ BEGIN {lock}; END $$")
    async with asyncio.timeout(30):
        done = await Inbox(session).fan_out(
            limit=9, shard=5, daemon=owner, saturated=[], after_id=0
        )
        assert done.last_picked == event
        async with session.transaction() as opened:
            await DeliveryActions(opened).lock([delivery.id])


async def test_two_changes_of_one_delivery_happen_one_after_another(
    connection: Connection, session: Session, dsn: str
) -> None:
    delivery = await rows.delivery(connection, await rows.endpoint(connection))
    (pid,) = (await session.fetch("SELECT pg_backend_pid()"))[0]
    async with connected(dsn) as first:
        transaction = first.transaction()
        await transaction.start()
        await first.fetch(statement("delivery_actions/lock"), [delivery.id])
        waiting = asyncio.create_task(DeliveryActions(session).lock([delivery.id]))
        await rows.waits_for_lock(connection, pid)
        await transaction.commit()
    await waiting
