"""Ports of our own that no endpoint may aim at: the admin port's and the database's.

An allow-list entry for loopback or an inner network is meant for receivers. It must not let a
tenant speak to the admin port from inside, or to PostgreSQL.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class OwnPort:
    """`noun` names it in a refusal; `at` is an address, all of this machine's, or any at all."""

    noun: str
    port: int
    at: Address | Literal["this machine", "anywhere"]


def admin_port(port: int) -> OwnPort:
    """Return the admin port. Whatever it is bound to, it is refused on all of our addresses."""
    return OwnPort("the dispatcher's own admin port", port, "this machine")


def own_ports(admin: int, database: Iterable[tuple[str, int]]) -> tuple[OwnPort, ...]:
    """Return the ports that a configuration names.

    `admin` is the admin port, 0 if it is not known yet; `database` the servers of the database: a
    name, an IP address or the directory of a socket, and a port.
    """
    found = [admin_port(admin)] if admin else []
    noun = "the dispatcher's own database"
    return (*found, *(OwnPort(noun, port, _at(host)) for host, port in database))


def _at(host: str) -> Address | Literal["this machine", "anywhere"]:
    # A server on a Unix socket mostly listens on the same port of loopback.
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return "this machine"
    try:
        address = ip_address(host)
    except ValueError:
        return "anywhere"
    return "this machine" if address.is_loopback else address
