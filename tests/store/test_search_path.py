"""A producer that may create in public has nothing of its own run by others."""

import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from dispatcher.store.errors import StoreUnavailableError
from dispatcher.store.migration import migrate
from dispatcher.store.session import Session
from dispatcher.store.statements import statement
from tests import hostile_settings
from tests.conftest import Connection, connected
from tests.store import rows

QUERIES = Path(__file__).parents[2] / "sql" / "queries"
NAMES = sorted(
    path.relative_to(QUERIES).with_suffix("").as_posix() for path in QUERIES.rglob("*.sql")
)
TAKEN = "taken over"
BOUND_BY_ITS_TEXT = {"event_id": "\nBEGIN\n  RETURN dispatcher.next_id();\nEND "}
"""Nothing in it is looked up by a name alone, and a producer's INSERT runs it for each row."""
QUALIFIED = {"event_checked", "events_inserted"}
"""Every INSERT runs them, and SET search_path would double their time."""
OPERATOR = re.compile(r"OPERATOR\(pg_catalog\.[^)]+\)|:=|::")
SYNTAX = {"ALL", "AND", "EXISTS", "OR", "AS", "WHEN", "IF", "RETURN", "VALUES", "=", "coalesce", ""}
"""What may stand before a parenthesis and is no function."""


async def occupied_by_a_producer(maintenance: Connection, dsn: str) -> str:
    """Fill schema public as a role that has dispatcher_producer, and CREATE there; return its name."""
    role = f"dispatcher_test_{secrets.token_hex(6)}"
    await maintenance.execute(f"CREATE ROLE {role} LOGIN IN ROLE dispatcher_producer")
    if maintenance.get_server_version().major >= 15:  # every role may, before
        async with connected(dsn) as connection:
            await connection.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
    async with connected(dsn.replace("postgres@", f"{role}@", 1)) as producer:
        assert await hostile_settings.occupy_public(producer) > 300
    return role


async def forget(maintenance: Connection, dsn: str, role: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute(f"DROP OWNED BY {role} CASCADE")
    await maintenance.execute(f"DROP ROLE {role}")


@pytest.fixture
async def occupied(maintenance: Connection, dsn: str) -> AsyncIterator[str]:
    """The producer who did it, on a database that is in use."""
    role = await occupied_by_a_producer(maintenance, dsn)
    yield role
    await forget(maintenance, dsn, role)


async def test_every_function_sets_its_search_path(connection: Connection) -> None:
    functions = await connection.fetch(
        """SELECT p.proname AS name, p.prosrc AS body FROM pg_proc p
           WHERE p.pronamespace = 'dispatcher'::regnamespace AND p.prosqlbody IS NULL
             AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)"""
    )
    bodies = {row["name"]: row["body"] for row in functions}
    assert {name: bodies[name] for name in bodies.keys() - QUALIFIED} == BOUND_BY_ITS_TEXT
    assert bodies.keys() >= QUALIFIED
    for name in QUALIFIED:
        assert by_name_alone(bodies[name]) == [], name


def by_name_alone(body: str) -> list[str]:
    """Return the operators, functions, types and tables that a body names without their schema."""
    code = re.sub(r"--[^\n]*|'(?:[^']|'')*'", " ", body)
    bare = re.findall(r"[+\-*/<>=~!@#%^&|`?]+", OPERATOR.sub(" ", code))
    code = re.sub(r"INSERT INTO dispatcher\.\w+ \([^)]*\)", " ", OPERATOR.sub(" = ", code))
    bare += [
        name
        for name in re.findall(r"([\w.]*)\s*\(", code)
        if "." not in name and name not in SYNTAX
    ]
    bare += [name for name in re.findall(r"::\s*([\w.]+)", body) if "." not in name]
    bare += [name for name in re.findall(r"(?:FROM|JOIN) ([\w.]+)", code) if "." not in name]
    return [name for name in bare if name != "new_rows"]


@pytest.mark.parametrize(
    "body",
    ["IF a = 1 THEN", "RETURN lower(a);", "x := a::text;", "SELECT 1 FROM settings", "a || b"],
)
def test_an_unqualified_name_finds_the_hostile_object(body: str) -> None:
    assert by_name_alone(body)


@pytest.mark.usefixtures("occupied")
async def test_an_insert_does_not_use_hostile_objects_in_public(
    connection: Connection,
) -> None:
    insert = "INSERT INTO dispatcher.events (type, data, environment_id) VALUES ($1, $2::pg_catalog.text::pg_catalog.json, $3)"
    await connection.execute("SELECT setval('dispatcher.listen_until', dispatcher.now_ms() + 9999)")
    await connection.execute("SET search_path = public, pg_catalog")
    await connection.execute(insert, "a.b", "1", "env_default")
    for type_, data, environment, complaint in (
        ("a..b", "1", "env_default", "type must be words"),
        ("x" * 129, "1", "env_default", "at most 128 bytes"),
        ("webhook.test", "1", "env_default", "type is reserved"),
        ("a", f'"{"x" * 300_000}"', "env_default", "data is 300002 bytes"),
        ("a", f'"{"x" * 8_400_000}"', "env_default", "at most 8 MiB"),
        ("a", "1", "env_x", "unknown environment"),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=complaint):
            await connection.execute(insert, type_, data, environment)
    await connection.execute("SET search_path = pg_catalog")
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.inbox") == 1


async def run_all(session: Session, connection: Connection) -> list[str]:
    """Run each statement of the daemon with NULL for all values; return those taken over."""
    taken = []
    for name in NAMES:
        sql = statement(name)
        values = [None] * len((await connection.prepare(sql)).get_parameters())
        try:
            await session.fetch(sql, *values)
        except (asyncpg.PostgresError, StoreUnavailableError) as error:
            if TAKEN in str(error):
                taken.append(name)
    return taken


@pytest.mark.long
@pytest.mark.usefixtures("occupied")
async def test_statements_of_the_daemon_do_not_use_hostile_objects(
    connection: Connection, session: Session, dsn: str
) -> None:
    await connection.execute("SET search_path = pg_catalog")
    assert await run_all(session, connection) == []
    # Each of the two defences holds by itself. This function is as it was before it was bound.
    await connection.execute(
        """CREATE OR REPLACE FUNCTION dispatcher.now_ms() RETURNS bigint LANGUAGE sql AS
           $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$"""
    )
    assert await run_all(session, connection) == []
    unguarded = Session(dsn, "test", settings={"search_path": '"$user", public'})
    taken = await run_all(unguarded, connection)
    assert "inbox/promise_polling" in taken
    await unguarded.close()


@pytest.mark.usefixtures("occupied")
async def test_functions_and_views_do_not_use_hostile_objects(connection: Connection) -> None:
    """As an administrator with psql, whose search_path has public in it."""
    await rows.endpoint(connection, "*")
    await rows.event(connection)
    functions = await connection.fetch(
        """SELECT p.oid::regproc::text AS name, p.pronargs AS arguments FROM pg_proc p
           WHERE p.pronamespace = 'dispatcher'::regnamespace AND p.prorettype <> 'trigger'::regtype"""
    )
    assert len(functions) > 15
    calls = [f"SELECT {f['name']}({', '.join(['NULL'] * f['arguments'])})" for f in functions]
    calls += ["SELECT dispatcher.ensure_partitions(2)", "SELECT dispatcher.id_time(2)"]
    calls += ["SELECT dispatcher.drop_partition('events', '1 day')"]
    calls += ["SELECT dispatcher.patterns_of('a.b.c')", "SELECT dispatcher.id_floor('2026-01-01')"]
    calls += ["SELECT dispatcher.emit('a.b', '{}', 'env_default', 'k')"]
    calls += ["TABLE dispatcher.delivery_status", "TABLE dispatcher.delivery_attempts"]
    for call in calls:
        try:
            await connection.execute(call)
        except asyncpg.PostgresError as error:
            assert TAKEN not in str(error), call  # noqa: PT017 - any other error is none


async def test_migrations_do_not_use_hostile_objects(
    maintenance: Connection, empty_dsn: str
) -> None:
    # The role comes with the first migrations of the server, here with the template's.
    role = await occupied_by_a_producer(maintenance, empty_dsn)
    try:
        async with migrate.open_connection(empty_dsn) as connection:
            assert len(await migrate.migrate(connection)) == len(migrate.read())
            assert await connection.fetch("SELECT dispatcher.ensure_partitions(9)")
        async with connected(empty_dsn) as connection:
            assert await rows.event(connection)
            await connection.execute(f"DROP OWNED BY {role}")  # refused if anything depended on it
    finally:
        await forget(maintenance, empty_dsn, role)
