"""Which database a command works on: the configured one, or the embedded one."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.audit import Actor
    from dispatcher.config import Config
    from dispatcher.crypto import Cipher
    from dispatcher.postgres import EmbeddedPostgres
    from dispatcher.store.session import Session

TURN_LIMIT = 60.0
"""Seconds to wait for other commands."""


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
    server = _server(config, directory)
    with _turn(directory):
        server.start()
    with server:
        click.echo(
            f"No database.dsn is configured: an embedded PostgreSQL keeps its data in {directory}."
            " For production configure one.",
            err=True,
        )
        yield Database(server.dsn, ours=True)


@contextmanager
def visiting(config: "Config", *, lasting: bool = False) -> Iterator[Database]:
    """For one command: the configured database, or the embedded one, running or not. One that is
    `lasting` watches what a daemon does, and does not start a server that would keep it out."""
    from dispatcher.cli.failures import Failure
    from dispatcher.postgres import running

    if config.database.dsn:
        yield Database(config.database.dsn.get_secret_value(), ours=False)
        return
    directory = embedded_directory(config)
    with _turn(directory):
        dsn = running(directory)
        if dsn is None and lasting:
            raise Failure(f"no daemon runs on {directory}: start one with dispatcher run")
        if dsn is None:
            with _server(config, directory) as server:
                yield Database(server.dsn, ours=True)
            return
    yield Database(dsn, ours=False)


@contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """One at a time: the server that one command starts for itself is not another's to rely on."""
    from dispatcher.postgres_process import lock

    held = lock(directory / "turn", TURN_LIMIT) if os.path.exists(directory) else None
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _server(config: "Config", directory: Path) -> "EmbeddedPostgres":
    from dispatcher.postgres import EmbeddedPostgres

    return EmbeddedPostgres(directory, binaries=config.database.binaries)


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
        await Settings(opened).write_limits(config.delivery.max_data, notify=config.database.notify)


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


def actor() -> "Actor":
    """Whom the audit names: the operating system's user, whatever the environment says."""
    import pwd

    from dispatcher.audit import Actor

    uid = os.getuid()
    try:
        return Actor(f"cli:{pwd.getpwuid(uid).pw_name}")
    except KeyError:  # as in a container: a user without a name
        return Actor(f"cli:{uid}")
