"""Applies `sql/migrations/NNNN_name.sql` in order, forward only, once, whoever else tries too.

A file is one transaction, unless it begins with `-- no-transaction`: then each of its
statements is one, and it must bear being run again after it failed half-way. Files hold plain
SQL without BEGIN and COMMIT, and `psql -f` takes them as well. What was applied is on record in
`dispatcher.migrations`, with the SHA-256 of each file: one applied is never edited again.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources.abc import Traversable
from typing import Any, TypeAlias

import asyncpg
import asyncpg.pool

from dispatcher import sqlfiles
from dispatcher.config import ConfigError
from dispatcher.store.connect import AddressError, ConnectError, connect
from dispatcher.store.session import StoreUnavailable

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

LOCK = int.from_bytes(b"dispatch")
CONNECT_PATIENCE = 10.0
LOCK_POLL = 0.05
LOCK_PATIENCE = 60.0
"""Seconds to wait for another migrator, which may be building an index."""
NO_TRANSACTION = "-- no-transaction"
OWN_TRANSACTION = (["BEGIN"], ["START", "TRANSACTION"], ["COMMIT"], ["ROLLBACK"])

TABLE = """
CREATE SCHEMA IF NOT EXISTS dispatcher;
CREATE TABLE dispatcher.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


class MigrationError(Exception):
    """The database's schema and this program do not go together; the message says what to do."""


class StaleDatabase(MigrationError):
    """Migrations are pending."""


class NewerDatabase(MigrationError):
    """The database was migrated by a newer version of this program."""


class EditedMigration(MigrationError):
    """A file differs from what was applied under its number."""


class BadMigrations(MigrationError):
    """The files, or the record of those applied, are not numbered 1, 2, 3 without a gap."""


class UnusableDatabase(MigrationError):
    """The database can never hold the schema."""


class FailedMigration(MigrationError):
    """A statement of a file failed; files before it stay applied."""


class LockedMigrations(MigrationError):
    """Another process did not finish migrating in time."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number and name, its text, and the hash that pins it once applied."""

    number: int
    name: str
    sql: str = field(repr=False)
    sha256: str = field(repr=False)

    @property
    def file(self) -> str:
        return f"{self.number:04}_{self.name}.sql"

    @property
    def transactional(self) -> bool:
        return not self.sql.startswith(NO_TRANSACTION)


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of `dispatcher.migrations`."""

    number: int
    name: str
    sha256: str


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """A connection to migrate over. StoreUnavailable; ConfigError for what is no address."""
    try:
        connection = await connect(
            dsn,
            settings={"application_name": "dispatcher/migrate"},
            timeout_seconds=CONNECT_PATIENCE,
        )
    except AddressError as error:
        raise ConfigError([str(error)]) from None
    except ConnectError as error:
        raise StoreUnavailable(str(error)) from error
    try:
        yield connection
    finally:
        await connection.close()


async def migrate(
    connection: Connection, *, plan: bool = False, directory: Traversable | None = None
) -> list[Migration]:
    """Apply the pending migrations and return them; with `plan` only return them.

    Raises a MigrationError; what was applied before a failing file stays applied.
    """
    if plan:
        return await pending(connection, directory=directory)
    files = read(directory)
    await _check_encoding(connection)
    async with _alone(connection):
        await _make_table(connection)
        waiting = decide(files, await _applied(connection))
        for migration in waiting:
            await _apply(connection, migration)
    return waiting


async def pending(
    connection: Connection, *, directory: Traversable | None = None
) -> list[Migration]:
    """What `migrate` would apply; changes nothing. Raises a MigrationError as it would."""
    files = read(directory)
    await _check_encoding(connection)
    return decide(files, await _applied(connection))


async def check(connection: Connection, *, directory: Traversable | None = None) -> None:
    """Raises StaleDatabase, or another MigrationError, unless the schema is just this program's."""
    waiting = await pending(connection, directory=directory)
    if waiting:
        names = ", ".join(migration.file for migration in waiting)
        raise StaleDatabase(
            f"the database lacks {len(waiting)} of the migrations ({names}): run dispatcher migrate"
        )


def read(directory: Traversable | None = None) -> list[Migration]:
    """The files of a directory, by default the project's own, in order of their numbers."""
    directory = directory or sqlfiles.root() / "migrations"
    found = []
    for file in directory.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", file.name)
        if match is None:
            raise BadMigrations(f"{file.name} is not named like 0001_name.sql")
        text = file.read_bytes()
        found.append(Migration(int(match[1]), match[2], text.decode(), sha256(text).hexdigest()))
        _refuse_own_transaction(found[-1])
    found.sort(key=lambda migration: migration.number)
    _refuse_gap([migration.number for migration in found], "the migration files")
    return found


def decide(files: list[Migration], applied: list[Applied]) -> list[Migration]:
    """The files still to apply, in order, given the rows of those applied."""
    _refuse_gap([row.number for row in applied], "the database's migrations")
    if len(applied) > len(files):
        newest = applied[-1]
        raise NewerDatabase(
            f"the database is at migration {newest.number:04}_{newest.name}, and this version of"
            f" dispatcher knows {len(files)}: install the newer version that migrated it"
        )
    for row, migration in zip(applied, files, strict=False):
        if (row.name, row.sha256) != (migration.name, migration.sha256):
            raise EditedMigration(
                f"{migration.file} is not what was applied as {row.number:04}_{row.name}.sql:"
                " restore that file, and put the change into a new one"
            )
    return files[len(applied) :]


def _refuse_gap(numbers: list[int], whose: str) -> None:
    for expected, number in enumerate(numbers, start=1):
        if number != expected:
            problem = "twice" if number < expected else f"but not {expected:04}"
            raise BadMigrations(f"{whose} have {number:04} {problem}")


def _refuse_own_transaction(migration: Migration) -> None:
    """A COMMIT in a file would leave it half applied when a later statement fails."""
    for _, statement in statements(migration.sql):
        words = re.sub(TOKEN, " ", statement).upper().split()
        if words in OWN_TRANSACTION:
            raise BadMigrations(
                f"{migration.file} has {' '.join(words)}: the transaction is not the file's to end"
            )


async def _check_encoding(connection: Connection) -> None:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise UnusableDatabase(
            f"the database is encoded in {encoding}, and events may hold any Unicode text:"
            " create one with ENCODING 'UTF8' TEMPLATE template0"
        )


async def _applied(connection: Connection) -> list[Applied]:
    if await connection.fetchval("SELECT to_regclass('dispatcher.migrations')") is None:
        return []
    rows = await connection.fetch(
        "SELECT number, name, sha256 FROM dispatcher.migrations ORDER BY number"
    )
    return [Applied(**row) for row in rows]


async def _make_table(connection: Connection) -> None:
    if await connection.fetchval("SELECT to_regclass('dispatcher.migrations')") is None:
        await connection.execute(TABLE)


@asynccontextmanager
async def _alone(connection: Connection) -> AsyncIterator[None]:
    # Polled: waiting inside pg_advisory_lock holds a snapshot, for which another migrator's
    # CREATE INDEX CONCURRENTLY would wait in turn.
    deadline = time.monotonic() + LOCK_PATIENCE
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        if time.monotonic() >= deadline:
            raise LockedMigrations(
                f"another process has been migrating this database for {LOCK_PATIENCE:.0f} seconds:"
                " wait for it, or end it, and try again"
            )
        await asyncio.sleep(LOCK_POLL)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(f"SELECT pg_advisory_unlock({LOCK})")


async def _apply(connection: Connection, migration: Migration) -> None:
    if migration.transactional:
        async with connection.transaction():
            await _execute(connection, migration, migration.sql, 0)
            await _record(connection, migration)
        return
    for offset, statement in statements(migration.sql):
        await _execute(connection, migration, statement, offset)
    await _record(connection, migration)


async def _execute(connection: Connection, migration: Migration, sql: str, offset: int) -> None:
    try:
        await connection.execute(sql)
    except asyncpg.PostgresError as error:
        raise FailedMigration(_explanation(error, migration, offset)) from error


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


TOKEN = re.compile(
    r"""
      --[^\n]* | /\*.*?\*/                                  # comments
    | \b[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*'           # texts
    | "[^"]*"                                               # quoted names
    | (?<![\w$])\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$  # dollar quotes
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)


def statements(sql: str) -> Iterator[tuple[int, str]]:
    """Each statement of a script with its offset in it; a body of BEGIN ATOMIC is not understood."""
    start = 0
    for token in TOKEN.finditer(sql):
        if token["end"]:
            yield start, sql[start : token.end()]
            start = token.end()
    if re.sub(TOKEN, "", sql[start:]).strip():
        yield start, sql[start:]
