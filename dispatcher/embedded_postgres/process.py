"""Child processes that end with their parent, and locks that end with those who hold them."""

import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dispatcher.embedded_postgres.binaries import Account

PR_SET_PDEATHSIG = 1

KEPT_ENVIRONMENT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NSS_WRAPPER_PASSWD",
    "NSS_WRAPPER_GROUP",
)
"""The rest stays behind: PG* would redirect the programs, DISPATCHER_* may hold secrets."""


def options(who: Account, directory: Path, inherited: list[int]) -> dict[str, Any]:
    """What `subprocess` needs to start a child in `directory` as `who`, to end with this thread.

    In a session of its own, since Ctrl-C is for the parent to answer; with a small environment,
    and `inherited`, descriptors, open.
    """
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    found: dict[str, Any] = {
        "cwd": directory,
        "env": {**kept, "LC_ALL": "C", "TZ": "UTC"},
        "start_new_session": True,
        "pass_fds": inherited,
        # Runs after the change of user, which would cancel what it asks for.
        "preexec_fn": _end_with(os.getpid()),
    }
    if os.geteuid() == 0:
        found |= {"user": who.uid, "group": who.gid, "extra_groups": []}
    return found


def _end_with(parent: int) -> Callable[[], None] | None:
    """What a child does to get SIGINT, PostgreSQL's fast shutdown, when its parent ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(1)

    return ask


def lock(path: Path, patience: float = 0) -> int | None:
    """A descriptor of the locked file, or None if it stays another's for `patience` seconds.

    Closing it unlocks, unless a child inherited it: then the end of the last such child does.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.01)
        else:
            return descriptor
