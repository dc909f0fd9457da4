"""The migrations as files: read, numbered, compared with those applied, split into statements."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources.abc import Traversable

from dispatcher.store import sql_files

NO_TRANSACTION = "-- no-transaction"
OWN_TRANSACTION = (["BEGIN"], ["START", "TRANSACTION"], ["COMMIT"], ["ROLLBACK"])


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
    """Another session did not finish migrating, or did not let go of a table, in time."""


class ForbiddenSchemaError(MigrationError):
    """Our role lacks a right on the schema or the database."""


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


def read(directory: Traversable | None = None) -> list[Migration]:
    """The files of a directory, by default the project's own, in order of their numbers."""
    directory = directory or sql_files.root() / "migrations"
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
