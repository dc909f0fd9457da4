"""What systemd is told about the daemon (sd_notify(3)); nothing when it is not the one asking.

No call raises or waits: a notice that can not be delivered is dropped.
"""

import contextlib
import os
import socket


def ready(status: str) -> None:
    """Start-up is complete; `status` is the sentence `systemctl status` shows."""
    _notify(f"READY=1\nSTATUS={_line(status)}")


def stopping() -> None:
    _notify("STOPPING=1")


def status(text: str) -> None:
    _notify(f"STATUS={_line(text)}")


def watchdog() -> None:
    """The event loop still turns. Due every `watchdog_interval()` seconds."""
    _notify("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Seconds between two calls of `watchdog`, half of what systemd allows; None if not asked."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    for_pid = os.environ.get("WATCHDOG_PID", "") or str(os.getpid())
    if not microseconds.isdecimal() or for_pid != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000 or None


def _line(text: str) -> str:
    """One assignment a line is the protocol; a line break in a text would forge another."""
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
