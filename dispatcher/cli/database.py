"""Which database a command works on: the configured one, or the embedded one."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.config.sections import Config
    from dispatcher.embedded_postgres.server import EmbeddedPostgres
    from dispatcher.encryption.cipher import Cipher
    from dispatcher.services.audit_log import Actor
    from dispatcher.store.session import Session

TURN_LIMIT = 60.0
"""Seconds to wait for another process that starts the same server."""
ROOM_TRIES = 4
ROOM_POLL_SECONDS = 3.0
"""A predecessor's connections may take some seconds to end."""


@dataclass(frozen=True, slots=True)
class Database:
    """An address; `ours`: of an embedded server that this process started and may migrate."""

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


def find(config: "Config") -> tuple[Database, "Config"]:
    """Return the database a command works on, and the configuration that goes with it.

    That is the configured one, else the embedded one of a running daemon, else that of a running
    demo, whose key lies beside its data. Raises Failure when there is none: a command never starts
    a server, since what it wrote there would never be sent.
    """
    from dispatcher.cli.errors import Failure
    from dispatcher.embedded_postgres.server import running

    if config.database.dsn:
        return Database(config.database.dsn.get_secret_value(), ours=False), config
    demo = of_the_demo(config)
    for each, directory in (
        (config, embedded_directory(config)),
        (demo, demo.state_directory()),
    ):
        if dsn := running(directory):
            click.echo(f"Using the running embedded PostgreSQL in {directory}.", err=True)
            return Database(dsn, ours=False), each
    raise Failure(
        "No database.dsn is configured, and no daemon runs with an embedded PostgreSQL in"
        f" {embedded_directory(config)}.\n"
        "Set DISPATCHER_DATABASE__DSN, or name an API with --api and DISPATCHER_API_TOKEN, or start"
        " `dispatcher run` or `dispatcher demo` first."
    )


def of_the_demo(config: "Config") -> "Config":
    """Return the configuration with the state directory, and so the data and the key, of a demo."""
    from dispatcher.config.sections import Secrets

    directory = config.state_directory() / "demo"
    database = config.database.model_copy(update={"state_directory": directory})
    return config.model_copy(update={"database": database, "secrets": Secrets()})


@contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """Hold the lock under which the server of this directory is started."""
    from dispatcher.embedded_postgres.process import lock

    held = lock(directory / "turn", TURN_LIMIT) if os.path.exists(directory) else None
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _server(config: "Config", directory: Path) -> "EmbeddedPostgres":
    from dispatcher.embedded_postgres.server import EmbeddedPostgres

    return EmbeddedPostgres(directory, binaries=config.database.binaries)


async def prepare(database: Database, config: "Config", *, migrate: bool = False) -> None:
    """For a daemon: the schema of this program, made so if it is ours or that was asked for, and
    the configured limits in it. Raises a MigrationError, and StoreUnavailable.
    """
    from dispatcher.store import migrate as migrations

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


async def look(database: Database) -> None:
    """Raise a MigrationError unless the schema is this program's; change nothing."""
    from dispatcher.store import migrate as migrations

    async with migrations.connected(database.dsn) as connection:
        await migrations.check(connection)


async def unlocked(database: Database, config: "Config") -> "Cipher":
    """Raises KeyRefused, and ConfigError for a key that can not be used."""
    from dispatcher.encryption.keyring import unlock
    from dispatcher.store.settings import Settings

    async with session(database, config) as opened:
        return await unlock(config, Settings(opened))


def warn_of_address(database: Database) -> None:
    """Write into the log what is left aside of the address. Raises AddressError."""
    from dispatcher.store import address
    from dispatcher.telemetry import observe

    for warning in address.read(database.dsn).warnings:
        observe.connection_warning(warning)


async def demand_connections(database: Database, config: "Config") -> None:
    """Wait a while until there is room for all connections of a daemon, and say so in the log.

    Raises Failure for a limit that is too low, and when room was not made in time: a daemon that
    lacks a few would look alive and send nothing.
    """
    from dispatcher.cli.errors import Failure
    from dispatcher.store.server import Server, connections_needed
    from dispatcher.telemetry import observe

    needed = connections_needed()
    async with session(database, config) as opened:
        for tries_left in reversed(range(ROOM_TRIES)):
            rooms = await Server(opened).rooms()
            for room in rooms:
                if message := room.too_small(needed):
                    raise Failure(message)
            full = [message for room in rooms if (message := room.too_full(needed))]
            if not full:
                return
            if not tries_left:
                raise Failure("; ".join(full))
            observe.connection_warning("; ".join(full))
            await wait(ROOM_POLL_SECONDS)


async def wait(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


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

    from dispatcher.services.audit_log import Actor

    uid = os.getuid()
    try:
        return Actor(f"cli:{pwd.getpwuid(uid).pw_name}")
    except KeyError:  # as in a container: a user without a name
        return Actor(f"cli:{uid}")
