"""`dispatcher run`: the daemon, until it is told to stop."""

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
    help="The event loop; uvloop where it is installed.",
)
@click.pass_obj
def run(config_file: Path | None, migrate: bool, loop: LoopName | None) -> None:
    """Send what is emitted, until SIGTERM or Ctrl-C.

    A first signal finishes what is under way; a second Ctrl-C does not wait for it.
    """
    import asyncio

    from dispatcher.cli import database, port_check
    from dispatcher.config.loading import load
    from dispatcher.telemetry import log

    config = load(config_file)
    log.configure(config.log.level, config.log.format)
    factory = loop_factory(loop)
    port_check.demand(config.admin.host, config.admin.port)
    with database.serving(config) as serving, asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_run(config, serving, migrate=migrate))


def loop_factory(name: LoopName | None) -> Callable[[], "AbstractEventLoop"]:
    """Makes the named event loop; for None uvloop's where there is one."""
    import asyncio

    try:
        from uvloop import new_event_loop
    except ImportError:
        if name == "uvloop":
            raise click.UsageError("uvloop is not installed") from None
        return asyncio.new_event_loop
    return asyncio.new_event_loop if name == "asyncio" else new_event_loop


async def _run(config: "Config", serving: "Database", *, migrate: bool) -> None:
    from dispatcher.cli import database
    from dispatcher.daemon import Daemon
    from dispatcher.store import statements

    statements.read_all()
    _raise_the_limit_of_files()
    database.warn_of_address(serving)
    await database.prepare(serving, config, migrate=migrate)
    await database.demand_connections(serving, config)
    daemon = Daemon(config, serving.dsn, await database.unlocked(serving, config))
    daemon.handle_signals()
    _spare_the_collector()
    await daemon.run()


def _raise_the_limit_of_files() -> None:
    """As many connections as the system allows this process: the usual limit is that of programs
    which still use select()."""
    import resource
    from contextlib import suppress

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # not where that is filtered: there the unit has set it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _spare_the_collector() -> None:
    """What is loaded by now stays, so the cycle collector need not look at it again and again, and
    attempts make few cycles. Left alone it takes a fifth of the time of a busy daemon."""
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
