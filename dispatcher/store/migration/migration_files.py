"""Read migration files, compare them with the applied ones, and split them into statements."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources.abc import Traversable

from dispatcher.store import sql_files

NO_TRANSACTION = "-- no-transaction"
FIRST_BEFORE_RELEASE = "ids_settings_environments"
"""The first migration of the set that existed before any release, which was replaced."""
OWN_TRANSACTION = (["BEGIN"], ["START", "TRANSACTION"], ["COMMIT"], ["ROLLBACK"])


class MigrationError(Exception):
    """The database's schema does not fit this program. The message says what to do."""


class PendingMigrationsError(MigrationError):
    """Migrations are pending."""


class IncompatibleDatabaseError(MigrationError):
    """The applied migrations are not those of this program, so none can be added to them."""


class NewerDatabaseError(IncompatibleDatabaseError):
    """A newer version of this program migrated the database."""


class EditedMigrationError(IncompatibleDatabaseError):
    """A file differs from the one that was applied under its number."""


class MigrationFilesError(IncompatibleDatabaseError):
    """The files, or the applied migrations, are not numbered 1, 2, 3 without a gap."""


class UnusableDatabaseError(IncompatibleDatabaseError):
    """The database can never hold the schema."""


class FailedMigrationError(MigrationError):
    """A statement of a file failed. Earlier files stay applied."""


class MigrationLockedError(MigrationError):
    """Another session did not finish migrating, or did not release a table, in time."""


class ForbiddenSchemaError(MigrationError):
    """The role lacks a right on the schema or on the database."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, its text, and the hash that identifies it once applied."""

    number: int
    name: str
    sql: str = field(repr=False)
    sha256: str = field(repr=False)

    @property
    def file(self) -> str:
        """Return the name of the file."""
        return f"{self.number:04}_{self.name}.sql"

    @property
    def transactional(self) -> bool:
        """Return True if the file runs in one transaction."""
        return not self.sql.startswith(NO_TRANSACTION)


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of `dispatcher.migrations`."""

    number: int
    name: str
    sha256: str


def read(directory: Traversable | None = None) -> list[Migration]:
    """Return the files of a directory in order of their numbers.

    The default is the project's own directory. Raise MigrationFilesError if a name or a number is
    wrong.
    """
    directory = directory or sql_files.root() / "migrations"
    migrations = []
    for file in directory.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", file.name)
        if match is None:
            raise MigrationFilesError(f"{file.name} is not named like 0001_name.sql")
        text = file.read_bytes()
        migrations.append(
            Migration(int(match[1]), match[2], text.decode(), sha256(text).hexdigest())
        )
    migrations.sort(key=lambda migration: migration.number)
    _refuse_gap([migration.number for migration in migrations], "the migration files")
    return migrations


def decide(files: list[Migration], applied: list[Applied]) -> list[Migration]:
    """Return the files still to apply, in order, given the applied ones.

    Raise NewerDatabaseError, EditedMigrationError, UnusableDatabaseError or MigrationFilesError if
    the two do not match, or if a file to apply controls its own transaction.
    """
    if applied and applied[0].name == FIRST_BEFORE_RELEASE:
        raise UnusableDatabaseError(
            "a version from before the first release migrated this database, and its migrations"
            " cannot be continued: use a new database, or delete the schema with all events"
            " (DROP SCHEMA dispatcher CASCADE), and run dispatcher migrate"
        )
    _refuse_gap([row.number for row in applied], "the database's migrations")
    if len(applied) > len(files):
        newest = applied[-1]
        raise NewerDatabaseError(
            f"the database is at migration {newest.number:04}_{newest.name}, and this version of"
            f" dispatcher knows {len(files)}: install the newer version that migrated it"
        )
    for row, migration in zip(applied, files, strict=False):
        if (row.name, row.sha256) != (migration.name, migration.sha256):
            raise EditedMigrationError(
                f"{migration.file} is not what was applied as {row.number:04}_{row.name}.sql:"
                " restore that file, and put the change into a new one"
            )
    pending = files[len(applied) :]
    for migration in pending:
        _refuse_own_transaction(migration)
    return pending


def _refuse_gap(numbers: list[int], whose: str) -> None:
    for expected, number in enumerate(numbers, start=1):
        if number != expected:
            problem = "twice" if number < expected else f"but not {expected:04}"
            raise MigrationFilesError(f"{whose} have {number:04} {problem}")


def _refuse_own_transaction(migration: Migration) -> None:
    """Raise MigrationFilesError if a file controls its own transaction.

    Otherwise a COMMIT would leave the file half applied when a later statement fails.
    """
    for _, statement in statements(migration.sql):
        words = re.sub(TOKEN, " ", statement).upper().split()
        if words in OWN_TRANSACTION:
            raise MigrationFilesError(
                f"{migration.file} has {' '.join(words)}: the transaction is not the file's to end"
            )


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
    """Yield each statement of a script with its offset. A BEGIN ATOMIC body is not supported."""
    start = 0
    for token in TOKEN.finditer(sql):
        if token["end"]:
            yield start, sql[start : token.end()]
            start = token.end()
    if re.sub(TOKEN, "", sql[start:]).strip():
        yield start, sql[start:]
