"""Set socket options that detect a peer that vanished without closing the connection.

Without these options, a session to a vanished primary stays open until a statement times out. A
session that only listens stays open for two hours.
"""

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import asyncpg

from dispatcher.store.connection.address import Address

if TYPE_CHECKING:
    _Base = asyncpg.Connection[Any]
else:
    _Base = asyncpg.Connection

IDLE_SECONDS = 1
INTERVAL_SECONDS = 1
COUNT = 2
USER_TIMEOUT_MILLISECONDS = 2_000
"""Together about two seconds, idle or sending.

Lost packets are repeated several times in that time.
"""


class Connection(_Base):
    """A connection that exposes its socket, which the driver gives only to a connection class."""

    __slots__ = ("socket",)

    def __init__(self, protocol: Any, transport: Any, *others: Any) -> None:  # noqa: ANN401 - passed on as they are
        super().__init__(protocol, transport, *others)
        self.socket = transport.get_extra_info("socket")

    def keep_alive(self, address: Address) -> None:
        """Set the socket options that `address` asks for, as far as the system knows them."""
        if self.socket is None or self.socket.family == socket.AF_UNIX:
            return
        for level, option, value in options(address):
            with contextlib.suppress(OSError):
                self.socket.setsockopt(level, option, value)


def options(address: Address) -> list[tuple[int, int, int]]:
    """Return level, option and value of each socket option.

    A 0 in the address keeps the system's value.
    """
    settings = [("TCP_USER_TIMEOUT", address.number("tcp_user_timeout", USER_TIMEOUT_MILLISECONDS))]
    socket_options = []
    if address.number("keepalives", 1):
        socket_options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        settings += [
            ("TCP_KEEPIDLE", address.number("keepalives_idle", IDLE_SECONDS)),
            ("TCP_KEEPINTVL", address.number("keepalives_interval", INTERVAL_SECONDS)),
            ("TCP_KEEPCNT", address.number("keepalives_count", COUNT)),
        ]
    for name, value in settings:
        option = getattr(socket, name, None)
        if option is not None and value > 0:
            socket_options.append((socket.IPPROTO_TCP, option, int(value)))
    return socket_options
