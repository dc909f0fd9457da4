"""Wait while another session migrates the database, so that a command need not be run again."""

import asyncio
from collections.abc import Callable
from importlib.resources.abc import Traversable
from time import monotonic

from dispatcher.store.migration import migrate
from dispatcher.store.migration.migrator import Migrator

WAIT_LIMIT_SECONDS = 60.0
"""The longest wait for a session that migrates. It may be building an index for hours."""
POLL_SECONDS = 0.1


async def check(
    connection: migrate.Connection,
    *,
    on_wait: Callable[[str], None],
    grace_seconds: float = 0.0,
    directory: Traversable | None = None,
) -> None:
    """Raise a MigrationError unless the schema is this program's; first wait for a migrator.

    Wait up to WAIT_LIMIT_SECONDS while a session migrates, and up to `grace_seconds` for one to
    begin. `on_wait` is called once, with the reason, if there is a wait.
    """
    began, waits = monotonic(), False
    while True:
        # Read the migrator first. Otherwise one that ends in between would look like none.
        migrator = await _migrator(connection)
        try:
            return await migrate.check(connection, directory=directory)
        except migrate.PendingMigrationsError as error:
            limit = WAIT_LIMIT_SECONDS if migrator else grace_seconds
            if monotonic() - began >= limit:
                raise _still(migrator, error) if migrator else error from None
        if not waits:
            waits = True
            on_wait(f"{migrator or 'a starting daemon'} migrates the database")
        await asyncio.sleep(POLL_SECONDS)


async def _migrator(connection: migrate.Connection) -> str | None:
    """Return the session that migrates, None if there is none, or no rights to see it."""
    sessions = Migrator(connection)
    return await sessions.current() if await sessions.is_visible() else None


def _still(migrator: str, error: migrate.PendingMigrationsError) -> migrate.MigrationLockedError:
    return migrate.MigrationLockedError(
        f"{error}. Waited {WAIT_LIMIT_SECONDS:.0f} seconds for {migrator}, which migrates the"
        " database: wait until it ends, and try again"
    )
