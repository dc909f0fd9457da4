"""The priority of what is hostile, so that it costs only what it costs the daemon."""

import os


def at_idle_priority() -> None:
    """Leave the processor to others whenever they want it, if the system knows such a priority."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
