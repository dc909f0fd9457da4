"""Decide which addresses may be dialled: network table, operator's allow-list and URL policy.

The decisive check is on the socket address, just before it is dialled: every host, name or literal,
passes `Guard.socket_factory`. The URL policy refuses early, with a sentence for people, a URL that
could never be dialled or that could be read in two ways.

With a proxy, this process dials only the proxy, whose own address is not judged. The addresses of a
receiver are judged before, if its name can be looked up here. But the proxy looks it up again, and
dials what it then finds.

The network table is our own. `ipaddress.is_private` and `is_global` differ between Python releases
and let pass NAT64, 6to4, multicast and addresses that contain an IPv4 address.
"""

import errno
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from dispatcher.config.fields import Network, network
from dispatcher.core.endpoint_url import (
    EndpointUrl,
    UrlError,
    ends_in_number,
    parse_url,
)
from dispatcher.transport.addresses.own_ports import Address, OwnPort

AddrInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]
"""A result of `getaddrinfo`: family, type, protocol, canonical name and socket address."""

DENIED: dict[Network, str] = {
    IPv4Network("0.0.0.0/8"): "an address of this network",
    IPv4Network("10.0.0.0/8"): "a private address",
    IPv4Network("100.64.0.0/10"): "a carrier's shared address",
    IPv4Network("127.0.0.0/8"): "a loopback address",
    IPv4Network("168.63.129.16/32"): "an address of the cloud platform",
    IPv4Network("169.254.0.0/16"): "a link-local address",
    IPv4Network("172.16.0.0/12"): "a private address",
    IPv4Network("192.0.0.0/24"): "a protocol assignment",
    IPv4Network("192.0.2.0/24"): "a documentation address",
    IPv4Network("192.88.99.0/24"): "a 6to4 relay",
    IPv4Network("192.168.0.0/16"): "a private address",
    IPv4Network("198.18.0.0/15"): "a benchmarking address",
    IPv4Network("198.51.100.0/24"): "a documentation address",
    IPv4Network("203.0.113.0/24"): "a documentation address",
    IPv4Network("224.0.0.0/4"): "a multicast address",
    IPv4Network("240.0.0.0/4"): "a reserved address",
    IPv6Network("::/128"): "an address of this network",
    IPv6Network("::1/128"): "a loopback address",
    IPv6Network("::/96"): "an IPv4 address written as IPv6",
    IPv6Network("::ffff:0:0/96"): "an IPv4 address written as IPv6",
    IPv6Network("::ffff:0:0:0/96"): "an IPv4 address written as IPv6",
    IPv6Network("64:ff9b::/32"): "a NAT64 address",
    IPv6Network("100::/64"): "a discard address",
    IPv6Network("2001::/32"): "a Teredo address",
    IPv6Network("2001::/23"): "a protocol assignment",
    IPv6Network("2001:db8::/32"): "a documentation address",
    IPv6Network("2002::/16"): "a 6to4 address",
    IPv6Network("3fff::/20"): "a documentation address",
    IPv6Network("fc00::/7"): "a private address",
    IPv6Network("fe80::/10"): "a link-local address",
    IPv6Network("ff00::/8"): "a multicast address",
}
"""Networks refused unless allow-listed, with the words for the error. The first match counts.

IPv6 addresses outside `UNICAST` are refused too, even if no network here contains them.
"""

UNICAST = IPv6Network("2000::/3")

NAT64 = IPv6Network("64:ff9b::/96")
"""Checked by the IPv4 address in the last 32 bits, as the gateway sends packets there."""

WRAPPERS = tuple(
    IPv6Network(text)
    for text in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/32",
        "2001::/32",
        "2002::/16",
    )
)
"""IPv6 forms of IPv4 addresses. The allow-list cannot permit them, except ::1. Use the IPv4 address
itself, and list that."""

METADATA = frozenset(
    ip_address(text)
    for text in (
        "100.100.100.200",
        "168.63.129.16",
        "169.254.0.23",
        "169.254.42.42",
        "169.254.169.123",
        "169.254.169.250",
        "169.254.169.253",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "192.0.0.192",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "fd00:ec2::23",
        "fd00:ec2::123",
        "fd00:ec2::240",
        "fd00:ec2::253",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
"""Cloud addresses that give out credentials and commands. The allow-list cannot permit them."""

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
INWARD_DOMAINS = ("local", "internal", "home.arpa", "onion", "invalid")
"""Domains that exist only inside a network, or not at all (RFC 6761, 6762, 7686, 8375)."""

ADDRESSES_LIMIT = 4096
"""Most addresses whose rules are kept. Whether an address is this machine's is asked each time."""

WEB_PORTS = frozenset({80, 443})
BAD_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566}
    | {6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
"""Ports from 1024 on to which browsers send no HTTP (WHATWG fetch, "bad port")."""


REMEDY = ". To send there, list its address in egress.allow"
REMEDY_FOR_PORTS = ". To send there, list its address with that port in egress.allow"


class BlockedError(OSError):
    """The egress rules forbid this address or port; an OSError, as all errors of dialling are."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(f"{what} is not a permitted destination{remedy}")


@dataclass(frozen=True, slots=True)
class Allowed:
    """An entry of the allow-list: a network with one port, or with all usual ports (None)."""

    network: Network
    port: int | None


def parse_allow(entries: Iterable[str]) -> tuple[Allowed, ...]:
    """Parse entries such as `10.0.0.0/8`, `10.1.2.3/32:8080`, `fd00::/8` or `[fd00::/8]:8080`.

    Raise ValueError.
    """
    return tuple(Allowed(*network(entry)) for entry in entries)


def is_own_address(address: Address) -> bool:
    """Return True if the address belongs to this machine, so that no firewall is in between.

    It tries to bind a socket, so all interfaces count, with the addresses that they have now.
    """
    stranger = ip_address("192.0.2.1" if address.version == 4 else "2001:db8::1")
    # If the kernel permits to bind any address (net.ipv4.ip_nonlocal_bind), check the route.
    return _can_bind(address) and (not _can_bind(stranger) or _source_towards(address) == address)


def _can_bind(address: Address) -> bool:
    try:
        with _datagram_socket(address) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _source_towards(address: Address) -> Address | None:
    try:
        with _datagram_socket(address) as probe:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0])
    except OSError:
        return None


def _datagram_socket(address: Address) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.socket(family, socket.SOCK_DGRAM)


class _Rules(NamedTuple):
    """What table and allow-list say of an address.

    Packets end at `destination`. `ports` are those that are allowed, None for all usual ones;
    `refusal` says what the destination is if it is not a public address, else it is "".
    """

    address: Address
    destination: Address
    ports: frozenset[int | None]
    refusal: str


class Guard:
    """The egress rules of one daemon: for URLs, for the resolver's answers, and for sockets."""

    def __init__(
        self,
        allow: Iterable[Allowed] = (),
        *,
        https_only: bool = False,
        own_ports: Iterable[OwnPort] = (),
        own_address: Callable[[Address], bool] = is_own_address,
    ) -> None:
        self._allow = tuple(allow)
        self._own_ports = tuple(own_ports)
        self._https_only = https_only
        self._own_address = own_address
        self._rules_of = lru_cache(maxsize=ADDRESSES_LIMIT)(self._find_rules)

    def add_own_port(self, own: OwnPort) -> None:
        """Refuse one more own port: a port that the system chose is known only once it is open."""
        self._own_ports = (*self._own_ports, own)

    def check_url(self, text: str) -> EndpointUrl:
        """Return the parsed URL if its endpoint is permitted. Raise UrlError."""
        url = parse_url(text, https_only=self._https_only)
        host, port = url.host, url.port
        if ":" in host or ends_in_number(host):
            try:
                self.check_address(host, port)
            except BlockedError as error:
                raise UrlError(str(error)) from None
            return url
        self._check_name(host.removesuffix("."))
        if _is_odd_port(port) and all(entry.port != port for entry in self._allow):
            raise UrlError(f"port {port} is not a permitted destination{REMEDY_FOR_PORTS}")
        return url

    def check_address(self, ip: str, port: int) -> None:
        """Raise BlockedError, with a sentence for people, unless the address may be dialled."""
        address, destination, ports, refusal = self._rules_of(ip)
        if port in ports:
            return
        self._check_not_own(address, port)
        if None not in ports:
            if refusal:
                raise BlockedError(refusal, remedy=REMEDY)
            if self._own_address(destination):
                raise BlockedError("an address of this machine", remedy=REMEDY)
        if _is_odd_port(port):
            raise BlockedError(f"port {port}", remedy=REMEDY_FOR_PORTS)

    def socket_factory(self, addr_info: AddrInfo) -> socket.socket:
        """Return a non-blocking socket for a permitted address. Raise BlockedError."""
        family, type_, proto, _, address = addr_info
        self.check_address(address[0], address[1])
        sock = socket.socket(family, type_, proto)
        sock.setblocking(False)
        return sock

    def _find_rules(self, ip: str) -> _Rules:
        """Return what the rules say of the address, whatever the port. Raise BlockedError."""
        try:
            address = ip_address(ip)
        except ValueError:
            raise BlockedError("what is not an address") from None
        if "%" in ip:
            raise BlockedError("an address with a zone")
        if address in METADATA:
            raise BlockedError("a cloud metadata address")
        destination = IPv4Address(int(address) & 0xFFFF_FFFF) if address in NAT64 else address
        return _Rules(address, destination, self._allowed_ports(address), _refusal(destination))

    def _check_not_own(self, address: Address, port: int) -> None:
        for own in self._own_ports:
            if own.port == port and (
                own.at in ("anywhere", address)
                or (own.at == "this machine" and self._own_address(address))
            ):
                raise BlockedError(own.noun)

    def _allowed_ports(self, address: Address) -> frozenset[int | None]:
        if address not in LOOPBACK[1] and any(address in form for form in WRAPPERS):
            return frozenset()
        return frozenset(entry.port for entry in self._allow if address in entry.network)

    def _check_name(self, name: str) -> None:
        if name == "localhost" or name.endswith(".localhost"):
            reachable = any(entry.network.overlaps(n) for entry in self._allow for n in LOOPBACK)
        else:
            inward = "." not in name or any(name.endswith(f".{d}") for d in INWARD_DOMAINS)
            reachable = bool(self._allow) or not inward
        if not reachable:
            raise UrlError(f"the host {name} is not a name on the public internet{REMEDY}")


def _refusal(address: Address) -> str:
    """Return what the address is if it is not a public one, else ""."""
    for forbidden, noun in DENIED.items():
        if address in forbidden:
            return f"{noun} ({forbidden})"
    if address.version == 6 and address not in UNICAST:
        return f"a reserved address (outside {UNICAST})"
    return ""


def _is_odd_port(port: int) -> bool:
    return (port < 1024 and port not in WEB_PORTS) or port in BAD_PORTS
