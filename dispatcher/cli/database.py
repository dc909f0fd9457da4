"""The database of a command: the configured one, or an embedded one."""

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
    from dispatcher.services.audit.audit_log import Actor
    from dispatcher.store.queries.settings import SettingChange
    from dispatcher.store.session import Session

START_LIMIT_SECONDS = 60.0
"""The longest wait while another process starts the same embedded server."""
MIGRATION_GRACE_SECONDS = 10.0
"""The longest wait until a daemon that has just started its server begins to migrate."""
CONNECTION_TRIES = 4
CONNECTION_POLL_SECONDS = 3.0
"""The pause between two tries. The connections of a daemon that has just stopped may take a few
seconds to end."""


@dataclass(frozen=True, slots=True)
class Database:
    """A connection address.

    `ours` is True for an embedded server that this process has started, which keeps its data in
    `directory`. Only such a database is migrated without a request. `is_embedded` is True for one
    that another process has started: it migrates that database before it sends.
    """

    dsn: str = field(repr=False)
    ours: bool
    is_embedded: bool = False
    directory: Path | None = None


def embedded_directory(config: "Config") -> Path:
    """Return the data directory of the embedded server."""
    return config.state_directory() / "postgres"


@contextmanager
def daemon_database(config: "Config", directory: Path | None = None) -> Iterator[Database]:
    """Yield the database of a daemon: the configured one, or an embedded one started for it."""
    if config.database.dsn:
        yield Database(config.database.dsn.get_secret_value(), ours=False)
        return
    directory = directory or embedded_directory(config)
    server = _server(config, directory)
    with start_lock(directory):
        server.start()
    with server:
        yield Database(server.dsn, ours=True, directory=directory)


def warn_of_embedded(database: Database) -> None:
    """Tell people where the embedded server of this process keeps its data, if it has one."""
    if database.directory is not None:
        click.echo(
            "No database.dsn is configured. An embedded PostgreSQL keeps its data in"
            f" {database.directory}. For production, configure database.dsn.",
            err=True,
        )


def find(config: "Config") -> tuple[Database, "Config"]:
    """Return the database that a command works on, and the configuration that goes with it.

    It is the configured one, else the embedded one of a running daemon, else that of a running
    demo, whose key lies beside its data. Raise CommandError if there is none. A command never
    starts a server, because no daemon would send what it wrote there.
    """
    from dispatcher.cli.errors import CommandError
    from dispatcher.embedded_postgres.server import running

    if config.database.dsn:
        return Database(config.database.dsn.get_secret_value(), ours=False), config
    demo = demo_config(config)
    for candidate, directory in (
        (config, embedded_directory(config)),
        (demo, demo.state_directory()),
    ):
        if dsn := running(directory):
            click.echo(f"Using the running embedded PostgreSQL in {directory}.", err=True)
            return Database(dsn, ours=False, is_embedded=True), candidate
    raise CommandError(
        "No database.dsn is configured, and no daemon runs with an embedded PostgreSQL in"
        f" {embedded_directory(config)}.\n"
        "Set DISPATCHER_DATABASE__DSN, or name an API with --api and DISPATCHER_API_TOKEN, or start"
        " `dispatcher run` or `dispatcher demo` first."
    )


def demo_config(config: "Config") -> "Config":
    """Return the configuration with the demo's state directory, and so with its data and key."""
    from dispatcher.config.sections import Secrets

    directory = config.state_directory() / "demo"
    database = config.database.model_copy(update={"state_directory": directory})
    return config.model_copy(update={"database": database, "secrets": Secrets()})


@contextmanager
def start_lock(directory: Path) -> Iterator[None]:
    """Hold the lock that a process needs to start the server of this directory.

    Raise CommandError if another process holds it for START_LIMIT_SECONDS.
    """
    from dispatcher.cli.errors import CommandError
    from dispatcher.embedded_postgres.process import lock

    if not os.path.exists(directory):
        yield
        return
    held = lock(directory / "turn", START_LIMIT_SECONDS)
    if held is None:
        raise CommandError(
            f"Another process has been starting the PostgreSQL in {directory} for"
            f" {START_LIMIT_SECONDS:.0f} seconds. Wait until it is ready, or end it."
        )
    try:
        yield
    finally:
        os.close(held)


def _server(config: "Config", directory: Path) -> "EmbeddedPostgres":
    from dispatcher.embedded_postgres.server import EmbeddedPostgres

    return EmbeddedPostgres(directory, binaries=config.database.binaries)


async def prepare(database: Database, config: "Config", *, migrate: bool = False) -> None:
    """Prepare the database for a daemon: check its schema, and write the configured limits.

    Migrate it first if `migrate`, or if this process has started its server. Otherwise wait for a
    session that migrates it. Log the settings that had another value. Raise MigrationError or
    StoreError.
    """
    from dispatcher.store.migration import migrate as migrations
    from dispatcher.telemetry import observe

    if migrate or database.ours:
        async with migrations.open_connection(database.dsn) as connection:
            await migrations.migrate(connection)
    else:
        await check_schema(database)
    for change in await write_limits(database, config):
        observe.database.setting_changed(change.key, change.former, change.new)


async def write_limits(database: Database, config: "Config") -> "list[SettingChange]":
    """Write the configured limits into the database, where its functions read them.

    Return the settings that had another value.
    """
    from dispatcher.store.queries.settings import Settings

    async with session(database, config) as opened:
        settings = Settings(opened)
        changes = await settings.write_limits(
            config.delivery.max_data, notify=config.database.notify
        )
        await settings.refresh_fast_path()
    return changes


async def check_schema(database: Database) -> None:
    """Raise MigrationError unless the schema is the one of this version. Change nothing.

    Wait first for a session that migrates the database, and say so.
    """
    from dispatcher.store.migration import migrate as migrations
    from dispatcher.store.migration import migration_wait

    grace = MIGRATION_GRACE_SECONDS if database.is_embedded else 0.0
    async with migrations.open_connection(database.dsn) as connection:
        await migration_wait.check(connection, on_wait=_say_wait, grace_seconds=grace)


def _say_wait(reason: str) -> None:
    click.echo(f"Waiting: {reason}.", err=True)


async def open_cipher(database: Database, config: "Config") -> "Cipher":
    """Return the cipher for the database's secrets.

    Raise KeyRejectedError if the key is wrong or missing, and ConfigError if it is malformed.
    """
    from dispatcher.encryption.keyring import unlock
    from dispatcher.store.queries.settings import Settings

    async with session(database, config) as opened:
        return await unlock(config, Settings(opened))


def warn_of_address(database: Database) -> None:
    """Log the parts of the address that are ignored. Raise AddressError if it is invalid."""
    from dispatcher.store.connection import address
    from dispatcher.telemetry import observe

    for warning in address.read(database.dsn).warnings:
        observe.database.connection_problem(warning)


async def require_connections(database: Database, config: "Config") -> None:
    """Wait until the server has room for all connections of a daemon, and log why.

    Raise CommandError if a limit is too low, or if there is no room after CONNECTION_TRIES tries.
    Otherwise a daemon that lacks a few connections would look healthy and send nothing.
    """
    from dispatcher.cli.errors import CommandError
    from dispatcher.store.queries.server import Server, connections_needed
    from dispatcher.telemetry import observe

    needed = connections_needed()
    async with session(database, config) as opened:
        for tries_left in reversed(range(CONNECTION_TRIES)):
            rooms = await Server(opened).rooms()
            for room in rooms:
                if message := room.too_small(needed):
                    raise CommandError(message)
            full = [message for room in rooms if (message := room.too_full(needed))]
            if not full:
                return
            if not tries_left:
                raise CommandError("; ".join(full))
            observe.database.connection_problem("; ".join(full))
            await wait(CONNECTION_POLL_SECONDS)


async def wait(seconds: float) -> None:
    """Sleep. Tests replace this function, so that they need not wait."""
    import asyncio

    await asyncio.sleep(seconds)


@asynccontextmanager
async def session(database: Database, config: "Config") -> AsyncIterator["Session"]:
    """Open a session of a command, and close it at the end."""
    from dispatcher.store.session import Session

    opened = Session(database.dsn, "command", statement_timeout=config.database.statement_timeout)
    try:
        yield opened
    finally:
        await opened.close()


async def warn_without_daemon(database: Database, config: "Config") -> None:
    """Tell people if no daemon runs on the database, because their command would wait for one.

    Do not check an embedded database. It runs only as long as its daemon, which may not have a
    heartbeat yet.
    """
    from dispatcher.services.verdict import NO_DAEMON, has_daemon
    from dispatcher.store.queries.daemons import Daemons

    if database.is_embedded:
        return
    async with session(database, config) as opened:
        if not await has_daemon(Daemons(opened)):
            click.echo(NO_DAEMON, err=True)


def actor() -> "Actor":
    """Return the actor for the audit log: the user of the operating system.

    Environment variables such as USER do not count, because every user can set them.
    """
    import pwd

    from dispatcher.services.audit.audit_log import Actor

    uid = os.getuid()
    try:
        return Actor(f"cli:{pwd.getpwuid(uid).pw_name}")
    except KeyError:  # in a container, a user often has no name
        return Actor(f"cli:{uid}")
