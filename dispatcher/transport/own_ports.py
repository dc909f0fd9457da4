"""Ports of our own that no endpoint may aim at: the admin port's and the database's.

An allow-list entry for loopback or an inner network is meant for receivers. It must not let a
tenant speak to the admin port from inside, or to PostgreSQL.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal
from urllib.parse import parse_qs, unquote

Address = IPv4Address | IPv6Address

POSTGRES_PORT = 5432


@dataclass(frozen=True, slots=True)
class OwnPort:
    """`noun` names it in a refusal; `at` is an address, all of this machine's, or any at all."""

    noun: str
    port: int
    at: Address | Literal["this machine", "anywhere"]


def admin_port(port: int) -> OwnPort:
    """Return the admin port. Whatever it is bound to, it is refused on all of our addresses."""
    return OwnPort("the dispatcher's own admin port", port, "this machine")


def own_ports(admin: int, dsn: str | None) -> tuple[OwnPort, ...]:
    """Return the ports that a configuration names. Port 0 of the admin port is not known yet."""
    found = [admin_port(admin)] if admin else []
    return (*found, *_database_ports(dsn or ""))


def _database_ports(dsn: str) -> list[OwnPort]:
    rest = dsn.partition("://")[2]
    if not rest:
        return []
    authority = re.split(r"[/?]", rest, maxsplit=1)[0].rpartition("@")[2]
    query = parse_qs(rest.partition("?")[2])
    default_ports = ",".join(query.get("port", [])).split(",")
    given = ",".join(query.get("host", []) + query.get("hostaddr", []))
    hosts = [host for host in f"{authority},{given}".split(",") if host] or [""]
    return [_database_port(host, default_ports) for host in hosts]


def _database_port(host: str, default_ports: list[str]) -> OwnPort:
    shape = re.fullmatch(r"\[(.*)\](?::(\d*))?|([^:]*)(?::(\d*))?", host)
    name, port = (shape[1] or shape[3] or "", shape[2] or shape[4] or "") if shape else (host, "")
    numbers = [text for text in (port, *default_ports) if text.isdigit()]
    return OwnPort(
        "the dispatcher's own database",
        int(numbers[0]) if numbers else POSTGRES_PORT,
        _at(unquote(name)),
    )


def _at(host: str) -> Address | Literal["this machine", "anywhere"]:
    # A server on a Unix socket mostly listens on the same port of loopback.
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return "this machine"
    try:
        address = ip_address(host)
    except ValueError:
        return "anywhere"
    return "this machine" if address.is_loopback else address
