"""The sockets of the admin port.

They listen before the application is built, which takes a while.
"""

import asyncio
import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack


async def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on each address of a host; connections wait until they are accepted.

    Raise OSError if an address cannot be bound, or the host is unknown.
    """
    address_infos = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with ExitStack() as opened:
        sockets = []
        for family, _, _, _, address in dict.fromkeys(address_infos):
            try:
                listening = socket.create_server(address[:2], family=family)
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT:  # a machine without IPv6
                    continue
                raise
            sockets.append(opened.enter_context(listening))
        opened.pop_all()
    return sockets


def address_of(sockets: Sequence[socket.socket]) -> str:
    """Return the URL of the first address."""
    host, port = sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
