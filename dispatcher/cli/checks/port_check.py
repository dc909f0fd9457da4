"""A check whether the admin port is free."""

import errno
import os
import socket

from dispatcher.cli.errors import CommandError

HINT = " Another daemon may be running: `dispatcher check` says whether one answers there."


def require_free(host: str, port: int, *, may_be_daemon: bool = True) -> None:
    """Raise CommandError if the admin port cannot be bound, before anything else is started.

    `may_be_daemon` is False if it is known that no daemon has the port.
    """
    try:
        reason = why_unavailable(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        hint = HINT if may_be_daemon and reason == os.strerror(errno.EADDRINUSE) else ""
        raise CommandError(
            f"The admin port {port} cannot be opened on {host}: {reason}. {_advice(reason)}{hint}"
        )


def _advice(reason: str) -> str:
    """Return what to do about a port that cannot be bound for this reason."""
    if reason == os.strerror(errno.EADDRNOTAVAIL):
        return "Set admin.host to an address of this machine."
    return "Free it, or set another admin.port (0 takes any free one)."


def why_unavailable(host: str, port: int) -> str | None:
    """Return why the port cannot be bound now, None if it can.

    Raise OSError if the host is unknown.
    """
    family, type_, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, type_, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return error.strerror or str(error)
    return None
