"""Who else may create objects where names are looked up, as `dispatcher check` reports it."""

import secrets
from collections.abc import AsyncIterator

import pytest

from dispatcher.cli.checks.rights_checks import warnings
from dispatcher.store.queries.schema_rights import SchemaRights
from dispatcher.store.session import Session
from tests.conftest import Connection, connected


@pytest.fixture
async def producer(maintenance: Connection, dsn: str) -> AsyncIterator[str]:
    """The name of a role that may emit, in a database where public is closed."""
    role = f"dispatcher_test_{secrets.token_hex(6)}"
    await maintenance.execute(f"CREATE ROLE {role} IN ROLE dispatcher_producer")
    async with connected(dsn) as connection:
        await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        yield role
        await connection.execute(f"DROP OWNED BY {role} CASCADE")
    await maintenance.execute(f"DROP ROLE {role}")


async def creators(session: Session) -> list[tuple[str, str]]:
    return [(row["schema"], row["role"]) for row in await SchemaRights(session).creators()]


@pytest.mark.usefixtures("producer")
async def test_a_closed_database_gives_no_warning(session: Session) -> None:
    assert await warnings(session) == []


async def test_a_producer_that_may_create_is_named(
    connection: Connection, session: Session, producer: str
) -> None:
    for schema in ("public", "dispatcher"):
        await connection.execute(f"GRANT CREATE ON SCHEMA {schema} TO {producer}")
    assert await creators(session) == [("dispatcher", producer), ("public", producer)]


@pytest.mark.usefixtures("producer")
async def test_a_schema_in_which_every_role_may_create_is_named_once(
    connection: Connection, session: Session
) -> None:
    await connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    assert await creators(session) == [("public", "PUBLIC")]
    (warning,) = await warnings(session)
    assert warning.startswith("PUBLIC may create objects in schema")
    assert "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in warning


async def test_schemas_of_the_roles_search_path_count(
    connection: Connection, session: Session, producer: str, dsn: str
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(
        f"""CREATE SCHEMA shared; CREATE SCHEMA other;
            GRANT CREATE ON SCHEMA shared, other TO {producer};
            ALTER DATABASE {name} SET search_path = "$user", shared, public"""
    )
    assert await creators(session) == [("shared", producer)]


@pytest.mark.usefixtures("producer")
async def test_objects_of_other_schemas_that_our_functions_use_are_named(
    connection: Connection, session: Session
) -> None:
    assert await SchemaRights(session).foreign_parts() == []
    await connection.execute(
        """CREATE FUNCTION public.odd(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
           ALTER TABLE dispatcher.endpoints ADD CHECK (public.odd(name));
           CREATE FUNCTION public.mul(numeric, integer) RETURNS numeric LANGUAGE sql AS 'SELECT $1';
           CREATE OPERATOR public.* (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = public.mul);
           CREATE OR REPLACE FUNCTION dispatcher.now_ms() RETURNS bigint LANGUAGE sql
           RETURN (extract(epoch FROM clock_timestamp()) OPERATOR(public.*) 1000)::bigint"""
    )
    parts = await SchemaRights(session).foreign_parts()
    assert {row["uses"] for row in parts} == {
        "function public.odd(text)",
        "operator public.*(numeric,integer)",
    }
    assert all("dispatcher" in warning for warning in await warnings(session))
