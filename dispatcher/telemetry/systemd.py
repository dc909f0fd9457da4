"""Messages from the daemon to systemd (sd_notify(3)); nothing happens without systemd.

No call raises or blocks: a message that cannot be delivered is dropped.
"""

import contextlib
import os
import socket


def ready(status: str) -> None:
    """Report that start-up is complete; `status` is the sentence in `systemctl status`."""
    _notify(f"READY=1\nSTATUS={_line(status)}")


def stopping() -> None:
    """Report that the daemon has begun to drain."""
    _notify("STOPPING=1")


def watchdog() -> None:
    """Report that the event loop still runs. Call it every `watchdog_interval()` seconds."""
    _notify("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Return the seconds between two calls of `watchdog`: half of what systemd allows.

    Return None if systemd does not expect them.
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    for_pid = os.environ.get("WATCHDOG_PID", "") or str(os.getpid())
    if not microseconds.isdecimal() or for_pid != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000 or None


def _line(text: str) -> str:
    """Return the text on one line: a line break in it would forge another assignment."""
    return " ".join(text.split())


def _notify(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    if address.startswith("@"):  # the abstract namespace of Linux
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError, ValueError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notices,
    ):
        notices.setblocking(False)
        notices.sendto(state.encode(errors="replace"), address)
