"""The checks of `dispatcher check` on events: whether all are sent and can all be read.

Those in CHECKS return a warning that says what to do, or None.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from dispatcher.core.durations import DAY_SECONDS

if TYPE_CHECKING:
    from dispatcher.config.sections import Config
    from dispatcher.store.session import Session

DAYS_BESIDE = 9
"""Partitions besides those of the retained days: a week ahead, today's, and the default one."""
RELATIONS_PER_DAY_OF_ATTEMPTS = 6
"""The table and its five indexes."""
RELATIONS_PER_DAY_OF_EVENTS = 3
"""The table and its two indexes."""
OLD_SNAPSHOT_SECONDS = 600.0
LOCKS_SHARE = 4
"""A statement that reads all days should need at most this fraction (1/4) of the lock table."""

Check: TypeAlias = Callable[["Config", "Session"], Awaitable[str | None]]


async def warnings(config: "Config", session: "Session") -> Sequence[str]:
    """Return all warnings about a database that has the schema."""
    results = [await check(config, session) for check in CHECKS]
    return [warning for warning in results if warning is not None]


async def two_phase_commit(config: "Config", session: "Session") -> str | None:
    """Return a warning if prepared transactions are enabled and conflict with notifications."""
    from dispatcher.store.queries.settings import Settings

    limits = await Settings(session).server_limits()
    if not limits.prepared or not config.database.notify:
        return None
    return (
        f"max_prepared_transactions is {limits.prepared}: while the daemon is idle, PREPARE"
        " TRANSACTION fails in a transaction that has emitted an event. If applications prepare"
        " transactions, set database.notify = false, or SET dispatcher.notify = off in theirs."
    )


async def require_triggers(session: "Session") -> str:
    """Return a note if all triggers of the events table fire.

    Raise CommandError if one does not.
    """
    from dispatcher.cli.errors import CommandError
    from dispatcher.core import remedies
    from dispatcher.store.queries.triggers import Triggers

    silent = await Triggers(session).silent()
    if not silent:
        return "triggers: they fire"
    raise CommandError(
        f"triggers of dispatcher.events do not fire: {', '.join(silent)}. Events that are inserted,"
        f" or replicated, are not sent. To mend it, {remedies.of_disabled_triggers(silent)}."
    )


async def lock_table(config: "Config", session: "Session") -> str | None:
    """Return a warning if the retained days may exceed PostgreSQL's lock table."""
    from dispatcher.store.queries.settings import Settings

    limits = await Settings(session).server_limits()
    needed = locks_needed(config.retention.events, config.retention.attempts)
    if needed * LOCKS_SHARE <= limits.locks:
        return None
    factor = -(-needed * LOCKS_SHARE // limits.locks)
    return (
        f"[retention] keeps so many day partitions that a statement may lock {needed} relations, of"
        f' {limits.locks} that all sessions together can lock. Some reads may fail with "out of'
        f' shared memory": set max_locks_per_transaction {factor} times as high, or keep fewer'
        " days."
    )


def locks_needed(keep_events: float, keep_attempts: float) -> int:
    """Return how many relations a statement locks that reads all days.

    The arguments are the retention periods in seconds.
    """
    events = int(keep_events / DAY_SECONDS) + DAYS_BESIDE
    attempts = int(keep_attempts / DAY_SECONDS) + DAYS_BESIDE
    return events * RELATIONS_PER_DAY_OF_EVENTS + attempts * RELATIONS_PER_DAY_OF_ATTEMPTS


async def old_snapshots(config: "Config", session: "Session") -> str | None:
    """Return a warning if transactions are open for OLD_SNAPSHOT_SECONDS or longer."""
    from dispatcher.store.queries.server import Server

    snapshots = await Server(session).old_snapshots(OLD_SNAPSHOT_SECONDS)
    if not snapshots:
        return None
    sessions = "; ".join(
        f"process {one.pid} of role {one.role}"
        + ("" if one.age is None else f", for {one.age / 60:.0f} minutes")
        for one in snapshots
    )
    return (
        "transactions that have been open for long keep what was deleted from the tables:"
        f" {sessions}. Fanning out gets slower and tables grow until they end. End them with"
        " SELECT pg_terminate_backend(…), and let idle_in_transaction_session_timeout end the next."
    )


CHECKS: tuple[Check, ...] = (lock_table, old_snapshots)
