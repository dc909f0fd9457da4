"""Can we listen there?"""

import socket

from dispatcher.cli.errors import Failure


def demand(host: str, port: int) -> None:
    """Raises Failure for an admin port that can not be had, before anything is started for it."""
    try:
        reason = refusal(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise Failure(
            f"the admin port {port} can not be opened on {host}: {reason}; admin.port 0 takes any free one"
        )


def refusal(host: str, port: int) -> str | None:
    """Why the port can not be had at this moment, None if it can. OSError for an unknown host."""
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
