"""List the daemon's own ports, which endpoints may not use: the admin port and the database.

An allow-list entry for loopback or a private network is meant for receivers. Otherwise it would let
a tenant reach the admin port or PostgreSQL. Only an entry that names such a port permits it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class OwnPort:
    """A port that is refused.

    `noun` names it in the error. `at` is one address, all addresses of this machine, or any.
    """

    noun: str
    port: int
    at: Address | Literal["this machine", "anywhere"]


def admin_port(port: int) -> OwnPort:
    """Return the admin port; it is refused on all addresses of this machine."""
    return OwnPort("the dispatcher's own admin port", port, "this machine")


def own_ports(admin: int, database: Iterable[tuple[str, int]]) -> tuple[OwnPort, ...]:
    """Return the ports of a configuration.

    `admin` is the admin port, 0 if it is not known yet. `database` are the database servers: a
    host name, an IP address or a socket directory, each with a port.
    """
    admin_ports = [admin_port(admin)] if admin else []
    noun = "the dispatcher's own database"
    return (*admin_ports, *(OwnPort(noun, port, _at(host)) for host, port in database))


def _at(host: str) -> Address | Literal["this machine", "anywhere"]:
    # A server on a Unix socket usually listens on the same port of loopback too.
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return "this machine"
    try:
        address = ip_address(host)
    except ValueError:
        return "anywhere"
    return "this machine" if address.is_loopback else address
