"""The demo's data, which is not worth keeping: put it aside when this version cannot use it."""

import shutil
from pathlib import Path

from dispatcher.cli.errors import CommandError


class UnusableDemoDataError(CommandError):
    """The demo's own data is of another version, or its key is missing."""


def put_aside(directory: Path) -> Path:
    """Rename the demo's directory to `….old`, in place of an earlier one. Return the new path.

    Raise CommandError, and change nothing, if a server runs in it, or if either directory also
    holds the database of `dispatcher run`.
    """
    from dispatcher.cli.database import start_lock
    from dispatcher.embedded_postgres.server import running

    aside = directory.with_name(f"{directory.name}.old")
    for path in (directory, aside):
        if (path / "postgres").exists():  # a daemon has this directory as its state directory
            raise CommandError(
                f"{path} also holds the database of dispatcher run, so the demo's data cannot be"
                " put aside: set STATE_DIRECTORY to another directory."
            )
    with start_lock(directory):
        if running(directory):
            raise CommandError(f"Another process runs a PostgreSQL in {directory}. Stop it.")
        if aside.exists():
            shutil.rmtree(aside)
        directory.rename(aside)
    return aside
