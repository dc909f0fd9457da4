"""The state of a daemon that nothing shows from the outside. Only this module knows where it is."""

import time
from math import ceil
from uuid import UUID

from dispatcher.core.model import ClockSetBack
from dispatcher.daemon.daemon import Daemon
from dispatcher.engine.ownership.lease import SHARDS
from tests.waiting import until


def owned(daemon: Daemon) -> set[int]:
    """Return the shards that the daemon owns."""
    return set(daemon._engine.lease.owned)


async def a_share_each(*daemons: Daemon) -> None:
    """Return once the daemons own all shards, and none more than its share."""
    share = ceil(SHARDS / len(daemons))

    def is_shared() -> bool:
        counts = [len(owned(daemon)) for daemon in daemons]
        return max(counts) <= share and sum(counts) == SHARDS

    await until(is_shared, f"{len(daemons)} daemons own a share of the shards each")


def note_set_back(daemon: Daemon, step: ClockSetBack) -> None:
    """Have the daemon move rows as if a heartbeat had shown this step."""
    daemon._engine.rescheduler.set_back(step)


def in_memory(daemon: Daemon) -> int:
    """Return how many deliveries the daemon has in memory."""
    return len(daemon._engine.buffer)


def holds(daemon: Daemon, delivery_id: int) -> bool:
    """Return True if the daemon has this delivery in memory."""
    return delivery_id in daemon._engine.buffer


def has_read_ahead(daemon: Daemon) -> bool:
    """Return True once the daemon owns shards, and the reads of what was due in them have ended."""
    buffer = daemon._engine.buffer
    is_read = bool(buffer.owned) and min(map(buffer.watermark, buffer.owned)) > time.time()
    return is_read and not buffer._reads._stale  # a watermark is raised as its read begins


def has_unrecorded(daemon: Daemon) -> bool:
    """Return True while an attempt is in flight, or its result waits to be recorded."""
    vitals = daemon._engine.vitals()
    return bool(vitals.in_flight or vitals.unrecorded)


def knows_pause(daemon: Daemon, endpoint_id: UUID) -> bool:
    """Return True if the daemon has read from the table that the endpoint rests."""
    queue = daemon._engine.queues._queues.get(endpoint_id)
    return queue is not None and queue.settings.stored_rest > 0
