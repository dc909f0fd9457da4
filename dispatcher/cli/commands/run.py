"""`dispatcher run`: run the daemon until a signal stops it."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from dispatcher.cli.database import Database
    from dispatcher.config.sections import Config

LoopName = Literal["asyncio", "uvloop"]


@click.command()
@click.option("--migrate", is_flag=True, help="Apply missing migrations first.")
@click.option(
    "--loop",
    type=click.Choice(["asyncio", "uvloop"]),
    help="The event loop. Default: uvloop if it is installed.",
)
@click.pass_obj
def run(config_file: Path | None, migrate: bool, loop: LoopName | None) -> None:
    """Send emitted events, until SIGTERM or Ctrl-C.

    The first signal lets running attempts finish. A second Ctrl-C stops at once.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.cli.checks import port_check
    from dispatcher.config.loading import load
    from dispatcher.telemetry import log

    signal.signal(signal.SIGTERM, _end)
    config = load(config_file)
    log.configure(config.log.level, config.log.format)
    factory = loop_factory(loop)
    port_check.require_free(config.admin.host, config.admin.port)
    with (
        database.daemon_database(config) as serving,
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        runner.run(_run(config, serving, migrate=migrate))


def _end(*_: object) -> None:
    """End at a signal that comes before the daemon handles signals.

    The first process of a container would ignore it: it would start to send, and be killed later.
    """
    raise SystemExit(0)


def loop_factory(name: LoopName | None) -> Callable[[], "AbstractEventLoop"]:
    """Return the factory of the named event loop.

    Without a name, return that of uvloop if it is installed. Raise UsageError if uvloop is named
    and not installed.
    """
    import asyncio

    try:
        from uvloop import new_event_loop
    except ImportError:
        if name == "uvloop":
            raise click.UsageError(
                "uvloop is not installed. Install it, or use --loop asyncio."
            ) from None
        return asyncio.new_event_loop
    return asyncio.new_event_loop if name == "asyncio" else new_event_loop


async def _run(config: "Config", serving: "Database", *, migrate: bool) -> None:
    """Prepare the database and the process, then run the daemon."""
    from dispatcher.cli import database
    from dispatcher.store import statements

    statements.read_all()
    _raise_file_limit()
    database.warn_of_embedded(serving)
    database.warn_of_address(serving)
    await database.prepare(serving, config, migrate=migrate)
    await database.require_connections(serving, config)
    cipher = await database.open_cipher(serving, config)
    # The daemon's modules take longest to load. What prevents a start is reported before.
    from dispatcher.daemon.daemon import Daemon

    daemon = Daemon(config, serving.dsn, cipher, excludes_loaded=True)
    daemon.handle_signals()
    collect_garbage_less()
    await daemon.run()


def _raise_file_limit() -> None:
    """Raise the limit on open files to the highest that the system allows.

    The usual limit suits programs that use select(). It would allow too few connections.
    """
    import resource
    from contextlib import suppress

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a sandbox may forbid it: the unit sets the limit there
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def collect_garbage_less() -> None:
    """Exclude the objects that exist now from garbage collection, and collect less often.

    They live as long as the process, and attempts create few reference cycles. With the default
    settings the collector takes a fifth of the time of a busy daemon.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
