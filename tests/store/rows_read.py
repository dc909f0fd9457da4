"""Count the rows that a statement looks at, in a filled database, whatever the planner believes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dispatcher.store.statements import statement
from tests.conftest import Connection, _database, connected, with_database
from tests.store.plans.plan import ENDPOINT, NO_AUTOVACUUM

READ = """
SELECT sum(pg_stat_get_xact_tuples_returned(c.oid))::int FROM pg_class c
WHERE c.relnamespace = 'dispatcher'::regnamespace AND c.relname ~ ('^(' || $1 || ')(_|$)')
"""
"""Rows of tables and entries of indexes that this transaction has looked at."""


@asynccontextmanager
async def filled_database(
    server: str, maintenance: Connection, template: str, *, fill: str, settings: str
) -> AsyncIterator[Connection]:
    """Give a connection to a new database, whose statistics were taken before it was filled."""
    async with (
        _database(maintenance, template) as name,
        connected(with_database(server, name)) as connection,
    ):
        await connection.execute(settings)
        await connection.execute(NO_AUTOVACUUM)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute(ENDPOINT)
        await connection.execute(fill)
        yield connection


async def rows_read(connection: Connection, tables: str, name: str, *arguments: object) -> int:
    """Return how many rows of `tables` (names separated by `|`) a statement looks at."""
    async with connection.transaction():
        before: int = await connection.fetchval(READ, tables)
        await connection.fetch(statement(name), *arguments)
        after: int = await connection.fetchval(READ, tables)
    return after - before
