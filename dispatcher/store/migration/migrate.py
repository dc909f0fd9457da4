"""Apply `sql/migrations/NNNN_name.sql` in order, forward only, each once.

Several processes may try at the same time. A file is one transaction, unless it begins with
`-- no-transaction`. Then each of its statements is one, and the file must be safe to run again
after it failed half-way. Files hold plain SQL without BEGIN and COMMIT, and `psql -f` accepts them
too. `dispatcher.migrations` records what was applied, with the SHA-256 of each file. An applied
file is never edited again.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.resources.abc import Traversable
from typing import Any, TypeAlias

import asyncpg
import asyncpg.pool

from dispatcher.config.sections import ConfigError
from dispatcher.store.connection.connect import AddressError, ConnectError, connect
from dispatcher.store.connection.connection_settings import (
    SettingRefusedError,
    connection_settings,
    finish,
)
from dispatcher.store.errors import StoreUnavailableError, permission_denied
from dispatcher.store.migration import migration_rights
from dispatcher.store.migration.migration_files import (
    TOKEN,
    Applied,
    EditedMigrationError,
    FailedMigrationError,
    ForbiddenSchemaError,
    IncompatibleDatabaseError,
    Migration,
    MigrationError,
    MigrationFilesError,
    MigrationLockedError,
    NewerDatabaseError,
    PendingMigrationsError,
    UnusableDatabaseError,
    decide,
    read,
    statements,
)
from dispatcher.store.migration.migrator import Migrator

__all__ = [
    "Applied",
    "EditedMigrationError",
    "FailedMigrationError",
    "ForbiddenSchemaError",
    "IncompatibleDatabaseError",
    "Migration",
    "MigrationError",
    "MigrationFilesError",
    "MigrationLockedError",
    "NewerDatabaseError",
    "PendingMigrationsError",
    "UnusableDatabaseError",
    "check",
    "decide",
    "migrate",
    "open_connection",
    "pending",
    "read",
    "statements",
]

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

CONNECT_TIMEOUT_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.05
LOCK_TIMEOUT_SECONDS = 60.0
"""Seconds to wait for another migrator, which may be building an index, and for table locks."""
LOCK_TRY_MS = 500
"""How long one try waits for a lock, in milliseconds. Producers wait behind it as long."""
LOCK_PAUSE_SECONDS = 1.0
"""Pause between two tries, so that sessions that waited behind the first can go on."""
SETTINGS = {"statement_timeout": "0", "lock_timeout": str(LOCK_TRY_MS)}
"""A statement has no time limit, because building the index of a large table may take hours."""
_NO_LOCK = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

SCHEMA = "CREATE SCHEMA IF NOT EXISTS dispatcher"
TABLES = {
    "dispatcher.migrations": """
        CREATE TABLE dispatcher.migrations (
            number integer PRIMARY KEY,
            name text NOT NULL,
            sha256 text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE dispatcher.migrations IS
            'The applied migrations. "dispatcher migrate" writes it; every daemon compares it with'
            ' its own files before it starts.'""",
    "dispatcher.migrator": """
        CREATE TABLE dispatcher.migrator (
            only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
            pid integer NOT NULL,
            backend_start timestamptz
        );
        COMMENT ON TABLE dispatcher.migrator IS
            'The session that migrates now, by its server process. No other session can hold this'
            ' place, as it could hold an advisory lock.'""",
}


@asynccontextmanager
async def open_connection(dsn: str) -> AsyncIterator[Connection]:
    """Open a connection for migrating, with the required settings in force.

    Raise StoreUnavailableError if that fails, and ConfigError if `dsn` is not a valid address.
    """
    try:
        connection = await connect(
            dsn,
            settings=connection_settings("migrate", SETTINGS),
            timeout_seconds=CONNECT_TIMEOUT_SECONDS,
        )
    except AddressError as error:
        raise ConfigError([str(error)]) from None
    except ConnectError as error:
        raise StoreUnavailableError(str(error)) from error
    try:
        try:
            await finish(connection, timeout_seconds=CONNECT_TIMEOUT_SECONDS)
        except SettingRefusedError as error:
            raise StoreUnavailableError(str(error)) from error
        yield connection
    finally:
        await connection.close()


async def migrate(
    connection: Connection, *, plan: bool = False, directory: Traversable | None = None
) -> list[Migration]:
    """Apply the pending migrations and return them. With `plan`, only return them.

    Raise a MigrationError if one fails. Files before it stay applied.
    """
    if plan:
        return await pending(connection, directory=directory)
    if not await pending(connection, directory=directory):
        return []
    files = read(directory)
    await migration_rights.require(connection)
    async with _claim(connection):
        waiting = decide(files, await _read_applied(connection))
        for migration in waiting:
            await _apply(connection, migration)
    return waiting


async def pending(
    connection: Connection, *, directory: Traversable | None = None
) -> list[Migration]:
    """Return the migrations that `migrate` would apply. Change nothing.

    Raise a MigrationError where `migrate` would.
    """
    files = read(directory)
    await _check_encoding(connection)
    return decide(files, await _read_applied(connection))


async def check(connection: Connection, *, directory: Traversable | None = None) -> None:
    """Raise a MigrationError unless the database has exactly this program's migrations.

    Raise PendingMigrationsError if some are missing.
    """
    waiting = await pending(connection, directory=directory)
    if waiting:
        count = "a migration" if len(waiting) == 1 else f"{len(waiting)} migrations"
        raise PendingMigrationsError(f"the database lacks {count}: run dispatcher migrate")


async def _check_encoding(connection: Connection) -> None:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise UnusableDatabaseError(
            f"the database is encoded in {encoding}, and events may hold any Unicode text:"
            " create one with ENCODING 'UTF8' TEMPLATE template0"
        )


async def _read_applied(connection: Connection) -> list[Applied]:
    try:
        if await connection.fetchval("SELECT to_regclass('dispatcher.migrations')") is None:
            return []
        rows = await connection.fetch(
            "SELECT number, name, sha256 FROM dispatcher.migrations ORDER BY number"
        )
    except asyncpg.InsufficientPrivilegeError as error:
        role = await connection.fetchval("SELECT current_user")
        raise ForbiddenSchemaError(permission_denied(error, role)) from error
    return [Applied(**row) for row in rows]


async def _make_tables(connection: Connection) -> None:
    """Create the schema and the tables of this module where they are missing."""
    try:
        # Ask first. CREATE SCHEMA IF NOT EXISTS needs the right even if the schema exists.
        if await connection.fetchval("SELECT to_regnamespace('dispatcher')") is None:
            await _make(connection, SCHEMA)
        for name, statement in TABLES.items():
            if await connection.fetchval("SELECT to_regclass($1)", name) is None:
                await _make(connection, statement)
    except asyncpg.InsufficientPrivilegeError as error:
        role = await connection.fetchval("SELECT current_user")
        raise ForbiddenSchemaError(
            f"{error.args[0]}, as role {role}: the schema dispatcher must belong to {role}, or to a"
            " role of which it is a member"
        ) from error


async def _make(connection: Connection, statement: str) -> None:
    with suppress(  # another migrator was faster; the error depends on the timing
        asyncpg.UniqueViolationError,
        asyncpg.DuplicateObjectError,
        asyncpg.DuplicateSchemaError,
        asyncpg.DuplicateTableError,
    ):
        await connection.execute(statement)


@asynccontextmanager
async def _claim(connection: Connection) -> AsyncIterator[None]:
    """Hold the claim to migrate.

    Raise MigrationLockedError if another session keeps it too long.
    """
    await _make_tables(connection)
    migrator = Migrator(connection)
    # Poll. A waiting statement holds a snapshot, and another migrator's CREATE INDEX CONCURRENTLY
    # would wait for that snapshot.
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while not await migrator.claim():
        if time.monotonic() >= deadline:
            raise MigrationLockedError(
                f"Waited {LOCK_TIMEOUT_SECONDS:.0f} seconds for {await migrator.holder()}, which"
                " migrates this database: wait for it, or end it, and try again"
            )
        await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        if not connection.is_closed():
            await migrator.release()


async def _apply(connection: Connection, migration: Migration) -> None:
    if migration.transactional:
        await _retry_locks(connection, migration, partial(_apply_whole, connection, migration))
        return
    for offset, statement in statements(migration.sql):
        execute = partial(_execute, connection, migration, statement, offset)
        if re.search(r"\bCONCURRENTLY\b", re.sub(TOKEN, " ", statement), re.IGNORECASE):
            await _concurrently(connection, migration, execute)
        else:
            await _retry_locks(connection, migration, execute)
    await _record(connection, migration)


async def _apply_whole(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await _execute(connection, migration, migration.sql, 0)
        await _record(connection, migration)


async def _retry_locks(
    connection: Connection, migration: Migration, step: Callable[[], Awaitable[None]]
) -> None:
    """Run `step` again and again until it gets its locks.

    An ALTER TABLE that waits for one reader blocks every later session. So each try gives up soon,
    and the sessions behind it go on before the next try. Raise MigrationLockedError after
    LOCK_TIMEOUT_SECONDS seconds.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            return await step()
        except _NO_LOCK as error:
            if time.monotonic() >= deadline:
                raise await _name_lock_holder(connection, migration) from error
        await asyncio.sleep(LOCK_PAUSE_SECONDS)


async def _concurrently(
    connection: Connection, migration: Migration, step: Callable[[], Awaitable[None]]
) -> None:
    """Run a CONCURRENTLY statement, which blocks no other session while it waits for locks.

    It gets the long lock timeout, because giving up leaves half an index.
    """
    change = "SELECT set_config('lock_timeout', $1, false)"
    await connection.execute(change, str(int(LOCK_TIMEOUT_SECONDS * 1000)))
    try:
        await step()
    except _NO_LOCK as error:
        raise await _name_lock_holder(connection, migration) from error
    finally:
        if not connection.is_closed():
            await connection.execute(change, str(LOCK_TRY_MS))


async def _name_lock_holder(connection: Connection, migration: Migration) -> MigrationLockedError:
    blockers = await Migrator(connection).blockers()
    return MigrationLockedError(
        f"{migration.file} waited {LOCK_TIMEOUT_SECONDS:.0f} seconds for a lock. Locks on our"
        f" tables are held by {blockers}: wait for their end, or use pg_terminate_backend, and"
        " run dispatcher migrate again. What was applied before stays"
    )


async def _execute(connection: Connection, migration: Migration, sql: str, offset: int) -> None:
    try:
        await connection.execute(sql)
    except _NO_LOCK:
        raise
    except asyncpg.PostgresError as error:
        raise FailedMigrationError(_explanation(error, migration, offset)) from error


async def _record(connection: Connection, migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.migrations (number, name, sha256) VALUES ($1, $2, $3)",
        migration.number,
        migration.name,
        migration.sha256,
    )


def _explanation(error: asyncpg.PostgresError, migration: Migration, offset: int) -> str:
    place = migration.file
    position = getattr(error, "position", None)
    if position is not None:
        line = migration.sql.count("\n", 0, offset + int(position) - 1) + 1
        place = f"{place}, line {line}"
    parts = [f"{place}: {error.args[0]}"]
    parts += [part for name in ("detail", "hint") if (part := getattr(error, name, None))]
    return "; ".join(parts)
