"""`dispatcher demo`: a database, the daemon and a receiver on this machine, to try it out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.config.sections import Config

LOOPBACK = "127.0.0.1/32"
"""The network of the demo's receiver, which the default egress policy blocks."""


@click.command()
@click.option(
    "--events", type=click.IntRange(min=1), metavar="N", help="Emit N events, then no more."
)
@click.option(
    "--once", is_flag=True, help="Emit all events at once, wait until they are delivered, and exit."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="P",
    help="The admin port. Default: admin.port, or a free one.",
)
@click.pass_context
def demo(context: click.Context, events: int | None, once: bool, port: int | None) -> None:
    """Start a database, the daemon and a receiver that verifies every delivery.

    Emit a sample event every second and show each delivery as it arrives, until Ctrl-C. Beside the
    receiver that answers at once are four others, unless --once is given: one is slow, one fails,
    one recovers, and one is gone. It needs no configuration. If database.dsn is set, it uses that
    database, in the environment env_demo. Give none that is in use: the demo also sends what waits
    there. Its own database is put aside if it is of another version, or needs another key.
    """
    from dispatcher.cli.checks import port_check
    from dispatcher.cli.demo_data import UnusableDemoDataError, put_aside
    from dispatcher.config.loading import load
    from dispatcher.telemetry import log

    configured = load(context.obj)
    directory = configured.state_directory() / "demo"
    config = _staged(context.obj, configured, directory, port)
    port_check.require_free(config.admin.host, config.admin.port)
    log.configure("warning", config.log.format, sys.stderr)
    try:
        succeeded = _run(config, directory, events, once=once)
    except UnusableDemoDataError as error:
        click.echo(f"{error.message} It was moved to {put_aside(directory)}.", err=True)
        succeeded = _run(config, directory, events, once=once)
    context.exit(0 if succeeded else 1)


def _staged(
    config_file: Path | None, configured: "Config", directory: Path, port: int | None
) -> "Config":
    """Return the configuration with the demo's own settings.

    It allows loopback, signs with two schemes and is not paused. It has the given port, else
    admin.port, or any free port if that is taken. For an embedded database it also has its own
    state directory, with a key beside the data, so that people can delete both.
    """
    from dispatcher.cli.checks import port_check
    from dispatcher.config.loading import load

    admin = configured.admin
    if port is None:
        port = 0 if port_check.why_unavailable(admin.host, admin.port) else admin.port
    overrides: dict[str, dict[str, Any]] = {
        "admin": {"port": port},
        "delivery": {"paused": False},
        "egress": {"allow": [*configured.egress.allow, LOOPBACK], "https_only": False},
        "signing": {"schemes": ["body-hex", "standard"]},
    }
    if configured.database.dsn is None:
        overrides["database"] = {"state_directory": str(directory)}
        overrides["secrets"] = {"key": "", "key_file": ""}
    return load(config_file, overrides=overrides)


def _run(config: "Config", directory: Path, events: int | None, *, once: bool) -> bool:
    """Start the database and run the demo. Return True if it succeeded.

    Raise UnusableDemoDataError if this version cannot use the demo's own data.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.cli.commands.run import loop_factory
    from dispatcher.cli.demo_data import UnusableDemoDataError
    from dispatcher.embedded_postgres.server import OtherMajorError

    try:
        with (
            database.daemon_database(config, directory) as serving,
            asyncio.Runner(loop_factory=loop_factory(None)) as runner,
        ):
            return runner.run(_demo(config, serving, events, once=once))
    except OtherMajorError:
        raise UnusableDemoDataError(
            f"The demo's data in {directory} is of another version of PostgreSQL."
        ) from None


async def _demo(config: "Config", serving: "Database", events: int | None, *, once: bool) -> bool:
    """Run the demo. Return True if it succeeded."""
    from dispatcher.cli import database
    from dispatcher.cli.demo_data import UnusableDemoDataError
    from dispatcher.demo import run
    from dispatcher.encryption.keyring import KeyRejectedError
    from dispatcher.store.migration.migrate import IncompatibleDatabaseError

    try:
        await database.prepare(serving, config)
        cipher = await database.open_cipher(serving, config)
    except (IncompatibleDatabaseError, KeyRejectedError) as error:
        if not serving.ours:
            raise
        # The error has a remedy of its own, for a database with data that matters.
        is_key = isinstance(error, KeyRejectedError)
        problem = "needs another key" if is_key else "is of another version of Dispatcher"
        raise UnusableDemoDataError(
            f"The demo's data in {config.state_directory()} {problem}."
        ) from None
    database.warn_of_embedded(serving)
    return await run(
        config, serving.dsn, cipher, own_database=serving.ours, events=events, once=once
    )
