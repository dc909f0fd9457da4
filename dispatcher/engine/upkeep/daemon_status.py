"""Publish the status of this daemon, which API and dashboard show."""

import os
import socket
from collections.abc import Callable, Mapping

import orjson

from dispatcher import __version__
from dispatcher.store.queries.daemons import Daemons

PUBLISH_EVERY_SECONDS = 2.0
"""Seconds between two publications."""


class StatusPublisher:
    """The stage that publishes the daemon's status.

    `daemon` returns the daemon id, None while it has not joined. `status` returns its status as
    JSON values.
    """

    def __init__(
        self,
        daemons: Daemons,
        *,
        daemon: Callable[[], int | None],
        status: Callable[[], Mapping[str, object]],
    ) -> None:
        self._daemons = daemons
        self._daemon = daemon
        self._status = status

    async def run_once(self) -> float:
        """Publish the status if the daemon has joined; return the seconds to the next pass.

        Raise StoreError or StatementTimeoutError.
        """
        daemon = self._daemon()
        if daemon is not None:
            await self._daemons.publish_status(daemon, orjson.dumps(self._status()).decode())
        return PUBLISH_EVERY_SECONDS


def daemon_status(
    *,
    admin_port: int | None,
    up: float,
    in_memory: int,
    in_flight: int,
    scheduled: int,
    unrecorded: int,
) -> Mapping[str, object]:
    """Return the status as JSON values; `up` is in seconds.

    `in_memory` counts the deliveries in memory. Of these `in_flight`, `scheduled` and `unrecorded`
    are not in the queues.
    """
    return {
        "version": __version__,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "admin_port": admin_port,
        "up": up,
        "in_flight": in_flight,
        "in_queues": max(0, in_memory - scheduled - in_flight - unrecorded),
        "scheduled": scheduled,
        "unrecorded": unrecorded,
    }
