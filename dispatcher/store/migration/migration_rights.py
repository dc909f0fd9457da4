"""The rights that migrating needs: ask for all of them before anything is applied."""

from typing import Any

import asyncpg
import asyncpg.pool

from dispatcher.store.migration.migration_files import ForbiddenSchemaError
from dispatcher.store.server import Facts
from dispatcher.store.statements import statement


async def require(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]",
) -> None:
    """Raise ForbiddenSchemaError with each right that the role lacks, and its remedy."""
    [row] = await connection.fetch(statement("server/facts"))
    if missing := Facts(**row).missing_rights():
        raise ForbiddenSchemaError("\n".join(missing))
