"""Describe this daemon for the status that API and dashboard show."""

import os
import socket
from collections.abc import Mapping

from dispatcher import __version__


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
