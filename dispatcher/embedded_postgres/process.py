"""Child processes that end with their parent, and file locks that end with their holders."""

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
"""The option of prctl(2) that asks for a signal when the parent ends."""

KEPT_ENVIRONMENT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NSS_WRAPPER_PASSWD",
    "NSS_WRAPPER_GROUP",
)
"""Variables that a child inherits. Others are removed: PG* would redirect the programs, and
DISPATCHER_* may hold secrets.
"""


def options(account: Account, directory: Path, inherited: list[int]) -> dict[str, Any]:
    """Return the arguments for `subprocess` to start a child in `directory` as `account`.

    On Linux, the child ends with this thread. It has its own session, because only the parent
    handles Ctrl-C, and inherits few variables. The descriptors in `inherited` stay open in it.
    """
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    arguments: dict[str, Any] = {
        "cwd": directory,
        "env": {**kept, "LC_ALL": "C", "TZ": "UTC"},
        "start_new_session": True,
        "pass_fds": inherited,
        # This runs after the change of user, which would reset the signal that it asks for.
        "preexec_fn": _end_with(os.getpid()),
    }
    if os.geteuid() == 0:
        arguments |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return arguments


def _end_with(parent: int) -> Callable[[], None] | None:
    """Return a function for a child to call, so that it gets SIGINT when its parent ends.

    SIGINT is PostgreSQL's fast shutdown. Return None on other systems than Linux.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        # A shell starts commands in the background with SIGINT ignored, and children inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # the parent ended before prctl took effect
            os._exit(1)

    return ask


def lock(path: Path, timeout: float = 0) -> int | None:
    """Lock a file and return its descriptor.

    Return None if another process still holds the lock after `timeout` seconds. Closing the
    descriptor unlocks the file, unless a child inherited it: then the end of the last such child
    does.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + timeout
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
