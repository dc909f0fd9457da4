"""Which database a command works on: the configured one, or the embedded one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.config import Config
    from dispatcher.crypto import Cipher
    from dispatcher.store.session import Session


@dataclass(frozen=True, slots=True)
class Database:
    """`ours`: an embedded server that this process started, so its schema is ours to keep."""

    dsn: str = field(repr=False)
    ours: bool


def embedded_directory(config: "Config") -> Path:
    return config.state_directory() / "postgres"


@contextmanager
def serving(config: "Config", directory: Path | None = None) -> Iterator[Database]:
    """For as long as a daemon runs: the configured database, or an embedded one of its own."""
    if config.database.dsn:
        yield Database(config.database.dsn.get_secret_value(), ours=False)
        return
    directory = directory or embedded_directory(config)
    with _embedded(config, directory) as database:
        click.echo(
            f"No database.dsn is configured: an embedded PostgreSQL keeps its data in {directory}."
            " For production configure one.",
            err=True,
        )
        yield database


@contextmanager
def visiting(config: "Config") -> Iterator[Database]:
    """For one command: the configured database, or the embedded one, whoever else uses it."""
    from dispatcher.postgres import running

    if config.database.dsn:
        yield Database(config.database.dsn.get_secret_value(), ours=False)
        return
    directory = embedded_directory(config)
    if dsn := running(directory):
        yield Database(dsn, ours=False)
        return
    with _embedded(config, directory) as database:
        yield database


@contextmanager
def _embedded(config: "Config", directory: Path) -> Iterator[Database]:
    from dispatcher.postgres import EmbeddedPostgres

    with EmbeddedPostgres(directory, binaries=config.database.binaries) as server:
        yield Database(server.dsn, ours=True)


async def prepare(database: Database, config: "Config", *, migrate: bool = False) -> None:
    """For a daemon: the schema of this program, made so if it is ours or that was asked for, and
    the configured limits in it. Raises a MigrationError, and StoreUnavailable.
    """
    from dispatcher import migrate as migrations

    async with migrations.connected(database.dsn) as connection:
        if migrate or database.ours:
            await migrations.migrate(connection)
        else:
            await migrations.check(connection)
    await write_limits(database, config)


async def write_limits(database: Database, config: "Config") -> None:
    from dispatcher.store.settings import Settings

    async with session(database, config) as opened:
        await Settings(opened).write_limits(config.delivery.max_data)


async def look(database: Database, config: "Config") -> None:
    """For one command: like `prepare`, but changes nothing in a database that is not ours."""
    from dispatcher import migrate as migrations

    if database.ours:
        await prepare(database, config)
        return
    async with migrations.connected(database.dsn) as connection:
        await migrations.check(connection)


async def unlocked(database: Database, config: "Config") -> "Cipher":
    """Raises KeyRefused, and ConfigError for a key that can not be used."""
    from dispatcher.keyring import unlock
    from dispatcher.store.settings import Settings

    async with session(database, config) as opened:
        return await unlock(config, Settings(opened))


@asynccontextmanager
async def session(database: Database, config: "Config") -> AsyncIterator["Session"]:
    from dispatcher.store.session import Session

    opened = Session(database.dsn, "command", statement_timeout=config.database.statement_timeout)
    try:
        yield opened
    finally:
        await opened.close()
