"""Which addresses may be dialled and which URLs may be given: tables of cases, and an oracle."""

# ruff: noqa: RUF001  look-alike characters are what is tested

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.core.endpoint_url import EndpointUrl, UrlError, parse_url
from dispatcher.transport.addresses import egress
from dispatcher.transport.addresses.egress import (
    Allowed,
    BlockedError,
    Guard,
    is_own_address,
    parse_allow,
)
from dispatcher.transport.addresses.egress_from_config import database_hosts
from dispatcher.transport.addresses.own_ports import OwnPort, own_ports

MAPPED = ip_network("::ffff:0:0/96")
"""Written in another way since Python 3.13."""


def guard(
    *allow: str,
    https_only: bool = False,
    own: Sequence[str] = (),
    own_ports: Sequence[OwnPort] = (),
) -> Guard:
    mine = {ip_address(text) for text in own}
    return Guard(
        parse_allow(allow),
        https_only=https_only,
        own_ports=own_ports,
        own_address=lambda address: address in mine,
    )


def permits(rules: Guard, ip: str, port: int = 443) -> bool:
    try:
        rules.check_address(ip, port)
    except BlockedError:
        return False
    return True


REFUSED_ADDRESSES = """
    0.0.0.0 0.1.2.3 0.255.255.255
    10.0.0.0 10.255.255.255
    100.64.0.0 100.100.100.200 100.127.255.255
    127.0.0.1 127.255.255.254
    168.63.129.16
    169.254.0.0 169.254.0.23 169.254.169.254 169.254.170.2 169.254.255.255
    172.16.0.0 172.31.255.255
    192.0.0.0 192.0.0.192 192.0.0.255 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255
    198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.255
    224.0.0.1 239.255.255.255 240.0.0.0 255.255.255.255
    :: ::1 ::127.0.0.1 ::7f00:1 ::808:808 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8
    ::ffff:0:127.0.0.1 ::ffff:0:0:7f00:1 ::5efe:7f00:1 1::1
    64:ff9b::a9fe:a9fe 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1:: 64:ff9b:1::808:808 64:ff9b:0:0:1::
    100:: 100::1 200::1 1fff:ffff::1
    2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:1ff::1 2001:db8::1 2002:: 2002:7f00:1::1
    3fff:: 3fff:fff:ffff::1 4000::1 5f00::1
    fc00::1 fd00:ec2::254 fd20:ce::254 fdff::1 fe80::1 fe80::1%lo fec0::1 ff02::1 ff0e::1
    2606:4700::1111%1
""".split()  # noqa: SIM905  a table reads better

PERMITTED_ADDRESSES = """
    1.0.0.0 8.8.8.8 93.184.216.34 9.255.255.255 11.0.0.0
    100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255
    192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.1 192.167.255.255 192.169.0.0
    198.17.255.255 198.20.0.1 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
    64:ff9b::808:808 64:ff9b::5db8:d822
    2001:200::1 2001:db7:ffff::1 2001:db9::1 2001:4860:4860::8888 2003::1 2606:4700:4700::1111
    2000::1 3ffe:ffff::1 3fff:1000::1 3fff:ffff::1
""".split()  # noqa: SIM905  a table reads better


@pytest.mark.parametrize("ip", REFUSED_ADDRESSES)
def test_an_address_that_is_not_public_is_refused(ip: str) -> None:
    assert not permits(guard(), ip)


@pytest.mark.parametrize("ip", PERMITTED_ADDRESSES)
def test_a_public_address_is_permitted_up_to_the_edge_of_a_refused_network(ip: str) -> None:
    assert permits(guard(), ip)


@pytest.mark.parametrize("ip", ["", "localhost", "127.1", "0x7f.1", "1.2.3.4 ", "::g", "[::1]"])
def test_an_invalid_address_is_refused(ip: str) -> None:
    assert not permits(guard("0.0.0.0/0", "::/0"), ip)


@pytest.mark.parametrize(
    ("ip", "port", "reason"),
    [
        (
            "127.0.0.1",
            80,
            "a loopback address (127.0.0.0/8) is not a permitted destination. To send"
            " there, list its address in egress.allow",
        ),
        ("10.1.2.3", 80, "a private address (10.0.0.0/8) is not a permitted destination"),
        ("64:ff9b::a00:1", 80, "a private address (10.0.0.0/8) is not a permitted destination"),
        ("::ffff:8.8.8.8", 80, f"an IPv4 address written as IPv6 ({MAPPED}) is not a permi"),
        ("5f00::1", 80, "a reserved address (outside 2000::/3) is not a permitted destination"),
        ("169.254.169.254", 80, "a cloud metadata address is not a permitted destination"),
        (
            "8.8.8.8",
            22,
            "port 22 is not a permitted destination. To send there, list its address"
            " with that port in egress.allow",
        ),
        ("8.8.4.4", 80, "an address of this machine is not a permitted destination"),
    ],
)
def test_a_blocked_address_is_refused_with_the_reason(ip: str, port: int, reason: str) -> None:
    with pytest.raises(BlockedError, match=re.escape(reason)):
        guard(own=["8.8.4.4"]).check_address(ip, port)


def test_the_refusal_of_a_resolved_name_does_not_disclose_the_address() -> None:
    with pytest.raises(BlockedError) as refusal:
        guard().check_address("10.11.12.13", 443)
    assert "10.11.12.13" not in str(refusal.value)


# An oracle that shares neither code nor representation with the guard: what is permitted, as
# ranges of whole /8s and hand-cut edges in IPv4, and as the digits of the long form in IPv6.
PERMITTED_V4 = [
    ("1.0.0.0", "9.255.255.255"),
    ("11.0.0.0", "100.63.255.255"),
    ("100.128.0.0", "126.255.255.255"),
    ("128.0.0.0", "168.63.129.15"),
    ("168.63.129.17", "169.253.255.255"),
    ("169.255.0.0", "172.15.255.255"),
    ("172.32.0.0", "191.255.255.255"),
    ("192.0.1.0", "192.0.1.255"),
    ("192.0.3.0", "192.88.98.255"),
    ("192.88.100.0", "192.167.255.255"),
    ("192.169.0.0", "198.17.255.255"),
    ("198.20.0.0", "198.51.99.255"),
    ("198.51.101.0", "203.0.112.255"),
    ("203.0.114.0", "223.255.255.255"),
]


def oracle_v4(number: int) -> bool:
    octets = tuple(number.to_bytes(4, "big"))
    return any(
        tuple(map(int, low.split("."))) <= octets <= tuple(map(int, high.split(".")))
        for low, high in PERMITTED_V4
    )


def oracle_v6(number: int) -> bool:
    digits = f"{number:032x}"
    if digits.startswith("0064ff9b" + "0" * 16):
        return oracle_v4(int(digits[24:], 16))
    if digits[0] not in "23":
        return False
    if digits.startswith(("20010db8", "2002", "3fff0")):
        return False
    return not (digits.startswith("2001") and int(digits[4:8], 16) < 0x200)


EDGES_V4 = sorted(
    {int(IPv4Address(edge)) + step for pair in PERMITTED_V4 for edge in pair for step in (-1, 0, 1)}
)


@given(st.integers(0, 2**32 - 1) | st.sampled_from(EDGES_V4))
def test_the_guard_agrees_with_the_oracle_on_all_of_ipv4(number: int) -> None:
    assert permits(guard(), str(IPv4Address(number))) == oracle_v4(number)


PREFIXES_V6 = [
    0x0000 << 112,
    0xFFFF << 32,
    0xFFFF << 48,
    0x0064FF9B << 96,
    0x0064FF9B0001 << 80,
    0x0100 << 112,
    0x20010000 << 96,
    0x20010200 << 96,
    0x20010DB8 << 96,
    0x2002 << 112,
    0x2606 << 112,
    0x3FFF << 112,
    0x3FFF1000 << 96,
    0xFD00 << 112,
    0xFE80 << 112,
    0xFF02 << 112,
]


@given(
    st.integers(0, 2**128 - 1)
    | st.integers(0x2000 << 112, (0x4000 << 112) - 1)
    | st.builds(
        lambda prefix, low: prefix | low, st.sampled_from(PREFIXES_V6), st.integers(0, 2**32 - 1)
    )
)
@example(0x0064FF9B << 96 | 0x08080808)
def test_the_guard_agrees_with_the_oracle_on_all_of_ipv6(number: int) -> None:
    assert permits(guard(), str(IPv6Address(number))) == oracle_v6(number)


@pytest.mark.parametrize(
    ("entry", "network", "port"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", None),
        ("10.1.2.3", "10.1.2.3/32", None),
        ("10.1.2.3/32:8080", "10.1.2.3/32", 8080),
        ("10.1.2.3:8080", "10.1.2.3/32", 8080),
        ("fd00::/8", "fd00::/8", None),
        ("[fd00::/8]:8080", "fd00::/8", 8080),
        ("::1", "::1/128", None),
        ("::/0", "::/0", None),
    ],
)
def test_an_allow_list_entry_is_a_network_with_an_optional_port(
    entry: str, network: str, port: int | None
) -> None:
    (allowed,) = parse_allow([entry])
    assert (str(allowed.network), allowed.port) == (network, port)
    assert isinstance(allowed, Allowed)


@pytest.mark.parametrize(
    "entry",
    ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8:", "10.0.0.0/8:0", "10.1.2.3:65536",
     "10.0.0.0/8:http", "[fd00::/8]:99999", "[fd00::/8", "fd00::/129", "10.0.0.0/8 ", "*", "[]"],
)  # fmt: skip
def test_a_malformed_allow_list_entry_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"network|port"):
        parse_allow(["127.0.0.0/8", entry])


@pytest.mark.parametrize(
    ("allow", "ip", "port", "permitted"),
    [
        (["127.0.0.0/8"], "127.0.0.1", 9000, True),
        (["127.0.0.0/8"], "127.0.0.1", 80, True),
        (["127.0.0.0/8"], "127.0.0.1", 22, False),
        (["127.0.0.0/8"], "::1", 9000, False),
        (["127.0.0.0/8"], "::ffff:127.0.0.1", 9000, False),
        (["127.0.0.0/8"], "10.0.0.1", 9000, False),
        (["127.0.0.0/8"], "64:ff9b::7f00:1", 9000, False),
        (["::1"], "::1", 9000, True),
        (["::/0"], "::1", 9000, True),
        (["::/0"], "fd00::1", 9000, True),
        (["::/0"], "::ffff:10.0.0.1", 9000, False),
        (["::/0"], "::10.0.0.1", 9000, False),
        (["::/0"], "64:ff9b::a00:1", 9000, False),
        (["::/0"], "64:ff9b:1::a00:1", 9000, False),
        (["::/0"], "2002:a00:1::1", 9000, False),
        (["::/0"], "2001:0:a00:1::1", 9000, False),
        (["::/0"], "fe80::1%lo", 9000, False),
        (["10.1.2.3/32:8080"], "10.1.2.3", 8080, True),
        (["10.1.2.3/32:8080"], "10.1.2.3", 8081, False),
        (["10.1.2.3/32:8080"], "10.1.2.4", 8080, False),
        (["10.1.2.3/32:22"], "10.1.2.3", 22, True),
        (["10.1.2.3/32:22"], "10.1.2.4", 22, False),
        (["10.1.2.3/32:22", "10.0.0.0/8"], "10.1.2.3", 8080, True),
        (["8.8.8.8/32:53"], "8.8.8.8", 53, True),
        (["8.8.8.8/32:53"], "8.8.8.8", 443, True),
        (["0.0.0.0/0"], "192.168.1.1", 443, True),
        (["0.0.0.0/0"], "169.254.1.1", 443, True),
        (["0.0.0.0/0", "169.254.169.254/32:80"], "169.254.169.254", 80, False),
        (["0.0.0.0/0"], "100.100.100.200", 80, False),
        (["0.0.0.0/0"], "168.63.129.16", 80, False),
        (["0.0.0.0/0"], "192.0.0.192", 80, False),
        (["::/0"], "fd00:ec2::254", 80, False),
        (["::/0"], "fd20:ce::254", 80, False),
        (["169.254.0.0/16"], "169.254.169.123", 80, False),
        (["fd00::/8"], "fd00:ec2::123", 80, False),
        (["fd00::/8"], "fd00:ec2::253", 80, False),
    ],
)
def test_the_allow_list_opens_what_it_names_and_never_metadata(
    allow: list[str], ip: str, port: int, permitted: bool
) -> None:
    assert permits(guard(*allow), ip, port) == permitted


@pytest.mark.parametrize("port", [80, 443, 1024, 3000, 8080, 8443, 9000, 65535])
def test_ordinary_ports_are_permitted(port: int) -> None:
    assert permits(guard(), "8.8.8.8", port)
    assert guard().check_url(f"http://example.com:{port}/").port == port


@pytest.mark.parametrize(
    "port",
    [1, 21, 22, 23, 25, 53, 79, 81, 110, 139, 389, 442, 445, 993, 1023, 2049, 6000, 6667, 10080],
)
def test_the_ports_of_other_protocols_are_refused_unless_listed_with_that_port(port: int) -> None:
    assert not permits(guard("8.8.8.8"), "8.8.8.8", port)
    with pytest.raises(UrlError, match=f"port {port} "):
        guard("8.8.8.8").check_url(f"http://example.com:{port}/")
    listed = guard(f"8.8.8.8:{port}")
    assert permits(listed, "8.8.8.8", port)
    assert not permits(listed, "8.8.4.4", port)
    assert listed.check_url(f"http://example.com:{port}/").port == port


def test_an_address_of_this_machine_is_refused_though_public_unless_listed() -> None:
    assert not permits(guard(own=["8.8.8.8"]), "8.8.8.8")
    assert not permits(guard(own=["8.8.8.8"]), "64:ff9b::808:808")
    assert permits(guard("8.8.8.8", own=["8.8.8.8"]), "8.8.8.8")


OURS = ["127.0.0.1", "127.0.0.2", "::1", "10.1.2.3"]
LOCAL = own_ports(8400, database_hosts("postgresql://app:secret@localhost/app"))


@pytest.mark.parametrize(
    ("allow", "dsn", "ip", "port", "permitted"),
    [
        (["127.0.0.0/8"], "", "127.0.0.1", 8400, False),
        (["127.0.0.0/8"], "", "127.0.0.2", 8400, False),
        (["::1"], "", "::1", 8400, False),
        (["10.0.0.0/8"], "", "10.1.2.3", 8400, False),
        (["10.0.0.0/8"], "", "10.1.2.4", 8400, True),
        (["0.0.0.0/0", "::/0"], "", "::ffff:127.0.0.1", 8400, False),
        (["127.0.0.0/8"], "", "127.0.0.1", 8401, True),
        (["127.0.0.0/8", "127.0.0.1/32:8400"], "", "127.0.0.1", 8400, True),
        (["127.0.0.0/8", "127.0.0.1/32:8400"], "", "127.0.0.2", 8400, False),
        (["127.0.0.0/8"], "postgresql://localhost/app", "127.0.0.1", 5432, False),
        (["127.0.0.0/8"], "postgresql://127.0.0.1:6000/app", "127.0.0.2", 6000, False),
        (["127.0.0.0/8"], "postgresql://u:p@[::1]:7000/app", "127.0.0.1", 7000, False),
        (["127.0.0.0/8"], "postgresql:///app?host=/run/postgresql", "127.0.0.1", 5432, False),
        (["127.0.0.0/8"], "postgresql:///app?host=/run/pg&port=7000", "127.0.0.1", 7000, False),
        (["127.0.0.0/8"], "postgresql://%2Frun%2Fpg:7000/app", "127.0.0.1", 7000, False),
        (["127.0.0.0/8"], "host=127.0.0.1 port=6000 dbname=app", "127.0.0.1", 6000, False),
        (["10.0.0.0/8"], "host=db hostaddr=10.9.9.9 dbname=app", "10.9.9.9", 5432, False),
        (["127.0.0.0/8"], "postgresql://localhost/app", "127.0.0.1", 9000, True),
        (["10.0.0.0/8"], "postgresql://10.9.9.9/app", "10.9.9.9", 5432, False),
        (["10.0.0.0/8"], "postgresql://10.9.9.9/app", "10.9.9.8", 5432, True),
        (["10.0.0.0/8"], "postgresql://10.9.9.8,10.9.9.9:7000/app", "10.9.9.9", 7000, False),
        (["10.0.0.0/8"], "postgresql://10.9.9.8,10.9.9.9:7000/app", "10.9.9.8", 5432, False),
        (["10.0.0.0/8"], "postgresql://db.internal:7000/app", "10.9.9.8", 7000, False),
        (
            ["10.0.0.0/8", "10.9.9.8:7000"],
            "postgresql://db.internal:7000/app",
            "10.9.9.8",
            7000,
            True,
        ),
        ([], "postgresql://8.8.8.8/app", "8.8.8.8", 5432, False),
        ([], "postgresql://8.8.8.8/app", "8.8.4.4", 5432, True),
    ],
)
def test_our_own_ports_stay_shut_unless_an_entry_names_them(
    allow: list[str], dsn: str, ip: str, port: int, permitted: bool
) -> None:
    rules = guard(*allow, own=OURS, own_ports=own_ports(8400, database_hosts(dsn) if dsn else ()))
    assert permits(rules, ip, port) == permitted


def test_a_refusal_of_our_own_ports_names_neither_address_nor_user() -> None:
    rules = guard("127.0.0.0/8", own=OURS, own_ports=LOCAL)
    with pytest.raises(UrlError) as refusal:
        rules.check_url("http://127.0.0.1:5432/")
    assert str(refusal.value) == "the dispatcher's own database is not a permitted destination"
    with pytest.raises(UrlError, match="own admin port"):
        rules.check_url("http://127.0.0.1:8400/")


@pytest.mark.parametrize("dsn", ["x", "postgresql://[::1", "postgresql://a:b", "mysql://a/b"])
def test_an_unusual_dsn_is_not_an_error_for_the_guard(dsn: str) -> None:
    assert database_hosts(dsn) == []


def test_addresses_of_this_machine_are_recognised() -> None:
    assert is_own_address(ip_address("127.0.0.1"))
    assert is_own_address(ip_address("127.9.9.9"))
    assert not is_own_address(ip_address("8.8.8.8"))
    assert not is_own_address(ip_address("2606:4700:4700::1111"))


def test_our_own_addresses_are_known_though_the_kernel_lets_us_bind_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress, "_can_bind", lambda _: True)
    assert is_own_address(ip_address("127.0.0.1"))
    assert not is_own_address(ip_address("8.8.8.8"))
    assert not is_own_address(ip_address("2606:4700:4700::1111"))


def test_the_socket_factory_checks_the_address_that_is_dialled() -> None:
    rules = guard("127.0.0.0/8")
    refused = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80))
    with pytest.raises(BlockedError):
        rules.socket_factory(refused)
    mapped = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:127.0.0.1", 9000, 0, 0))
    with pytest.raises(BlockedError):
        rules.socket_factory(mapped)
    permitted = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9000))
    with rules.socket_factory(permitted) as sock:
        assert (sock.family, sock.getblocking()) == (socket.AF_INET, False)


REFUSED_URLS = [
    "",
    "example.com",
    "//example.com/",
    "http:/127.0.0.1",
    "http:127.0.0.1",
    "http://",
    "http:///path",
    "http://?x",
    "http://:80/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "ftp://example.com/",
    "javascript:alert(1)",
    "ws://example.com/",
    "wss://example.com/",
    "unix:///x.sock",
    "http+unix://%2Fx.sock/",
    "http//example.com/",
    " http://example.com/",
    "http://example.com/ ",
    "http://exam\nple.com/",
    "http://exam\tple.com/",
    "http://example.com/\r",
    "http://example.com/a b",
    "http://example.com/\x00",
    "http://example.com/\x7f",
    "http://example.com/\u200b",
    "http://exa\u00admple.com/",
    "http://example.com/\u202e",
    "http://example.com/\ud800",
    "http://example.com\u3000/",
    "http://127.0.0.1/",
    "http://127.255.255.254/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://[::1]/",
    "http://[::]/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0xA9FEA9FE/",
    "http://0x7f.1/",
    "http://0x/",
    "http://a.0x1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0377.0377.0377.0377/",
    "http://127.000.000.001/",
    "http://127.1/",
    "http://127.0.1/",
    "http://1/",
    "http://0/",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://4294967297/",
    "http://example.123/",
    "http://８.８.８.８/",
    "http://１２７.０.０.１/",
    "http://8。8。8。8/",
    "http://①②⑦.0.0.1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "http://ｅxample.com/",
    "http://example。com/",
    "http://8.8.8.8./",
    "http://127.0.0.1./",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::1]/",
    "http://[fd00::1]/",
    "http://[fe80::1%25lo]/",
    "http://[::1%25lo]/",
    "http://[::ffff:127.0.0.1%lo]/",
    "http://[2606:4700::1111%1]/",
    "http://[127.0.0.1]/",
    "http://[v1.fe80]/",
    "http://[::1/",
    "http://::1/",
    "http://[]/",
    "http://[::1]x/",
    "http://x[::1]/",
    "http://2606:4700::1111/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://a.localhost/",
    "http://metadata.google.internal/",
    "http://printer.local/",
    "http://x.home.arpa/",
    "http://x.onion/",
    "http://x.invalid/",
    "http://intranet/",
    "http://169.254.169.254/latest/meta-data/",
    "http://192.168.1.1/",
    "http://168.63.129.16/",
    "http://example.com@127.0.0.1/",
    "http://a:b@example.com/",
    "http://@example.com/",
    "http://127.0.0.1#@example.com/",
    "http://example.com/#fragment",
    "http://example.com/#",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\example.com/",
    "http://example.com/a\\b",
    "http://127.0.0.1%00.example.com/",
    "http://127.0.0.1%09.example.com/",
    "http://example.com%2f@127.0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:99999/",
    "http://example.com:080/",
    "http://example.com:80:80/",
    "http://example.com:/",
    "http://example.com:-1/",
    "http://example.com:８０/",
    "http://example.com:80x/",
    "http://example..com/",
    "http://.example.com/",
    "http://example.com../",
    "http://-example.com/",
    "http://example-.com/",
    "http://exa*mple.com/",
    "http://exa,mple.com/",
    "http://example.com;x/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 127 + "com/",
    "http://xn--zzzzzz.jp/",
    "http://xn--a.com/",
    "http://xn--.com/",
    "http://example.com/" + "a" * 2048,
    "http://example.com/" + "é" * 1000,
]


@pytest.mark.parametrize("text", REFUSED_URLS)
def test_a_url_that_leads_inward_or_reads_two_ways_is_refused(text: str) -> None:
    with pytest.raises(UrlError):
        guard().check_url(text)


@pytest.mark.parametrize(
    ("text", "dialled"),
    [
        ("https://example.com/", "example.com:443"),
        ("HTTPS://EXAMPLE.COM/Path", "example.com:443"),
        ("https://example.com:8443/", "example.com:8443"),
        ("https://93.184.216.34/", "93.184.216.34:443"),
        ("http://[2606:4700:4700::1111]/", "2606:4700:4700::1111:80"),
        ("https://[2606:4700:4700:0:0:0:0:1111]:8443/", "2606:4700:4700::1111:8443"),
        ("https://[64:ff9b::808:808]/", "64:ff9b::808:808:443"),
        ("https://例え.jp/", "xn--r8jz45g.jp:443"),
        ("https://xn--r8jz45g.jp/", "xn--r8jz45g.jp:443"),
        ("https://faß.de/", "xn--fa-hia.de:443"),
        ("https://BÜCHER.de/", "xn--bcher-kva.de:443"),
        ("https://bu\u0308cher.de/", "xn--bcher-kva.de:443"),
        ("https://a_b.example.com/", "a_b.example.com:443"),
        ("https://example.com./hook", "example.com.:443"),
        ("https://1.example.com/", "1.example.com:443"),
        ("https://127.0.0.1.nip.io/", "127.0.0.1.nip.io:443"),
        ("https://notlocalhost.com/", "notlocalhost.com:443"),
        ("https://a.mylocal/", "a.mylocal:443"),
    ],
)
def test_a_public_url_is_accepted_as_typed(text: str, dialled: str) -> None:
    url = guard().check_url(text)
    assert url.text == text
    assert f"{url.host}:{url.port}" == dialled


@pytest.mark.parametrize(
    ("allow", "text", "accepted"),
    [
        (["127.0.0.0/8"], "http://127.0.0.1:9000/", True),
        (["127.0.0.0/8"], "http://localhost:9000/", True),
        (["127.0.0.0/8"], "http://a.localhost:9000/", True),
        (["::1/128"], "http://localhost:9000/", True),
        (["::1/128"], "http://[::1]:9000/", True),
        (["0.0.0.0/0"], "http://localhost:9000/", True),
        (["10.0.0.0/8"], "http://localhost:9000/", False),
        (["10.0.0.0/8"], "http://intranet:9000/", True),
        (["10.0.0.0/8"], "http://app.internal:9000/", True),
        (["10.0.0.0/8"], "http://127.0.0.1:9000/", False),
        (["10.1.2.3/32:8080"], "http://10.1.2.3:8080/", True),
        (["10.1.2.3/32:8080"], "http://10.1.2.3/", False),
        (["127.0.0.0/8"], "http://2130706433/", False),
        (["127.0.0.0/8"], "http://0x7f000001/", False),
        (["127.0.0.0/8"], "http://127.1/", False),
        (["127.0.0.0/8"], "http://１２７.０.０.１/", False),
        (["127.0.0.0/8"], "http://127.0.0.1:22/", False),
        (["0.0.0.0/0"], "http://169.254.169.254/", False),
    ],
)
def test_the_allow_list_decides_about_literals_and_inward_names(
    allow: list[str], text: str, accepted: bool
) -> None:
    rules = guard(*allow)
    if accepted:
        assert isinstance(rules.check_url(text), EndpointUrl)
    else:
        with pytest.raises(UrlError):
            rules.check_url(text)


def test_https_only_refuses_plain_http() -> None:
    assert guard(https_only=True).check_url("https://example.com/")
    with pytest.raises(UrlError, match="https://"):
        guard(https_only=True).check_url("http://example.com/")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ftp://example.com/", "the URL must start with https:// or http://"),
        ("http://a b/", "the URL must not contain spaces, control or invisible characters"),
        ("http://a@b.com/", "the URL must not contain a user name or password"),
        ("http://a.com/#x", "the URL must not contain a fragment (#)"),
        ("http://a%2e.com/", "the host must not contain a percent sign"),
        ("http://a.com:66000/", "the port must be at most 65535"),
        ("http://127.1/", "the host must be a domain name, an IPv4 address of four decimal"),
        ("http://10.0.0.1/", "a private address (10.0.0.0/8) is not a permitted destination"),
        ("http://localhost/", "the host localhost is not a name on the public internet"),
    ],
)
def test_a_refused_url_is_explained(text: str, sentence: str) -> None:
    with pytest.raises(UrlError, match=f"^{re.escape(sentence)}"):
        guard().check_url(text)


@given(
    st.text(max_size=60)
    | st.from_regex(r"\Ahttps?://[0-9a-fx.:\[\]%@]{1,40}(/[ -~]{0,20})?\Z")
    | st.builds("http://{}/{}".format, st.text(max_size=20), st.text(max_size=20))
)
def test_any_text_is_refused_or_kept_unchanged(text: str) -> None:
    try:
        url = guard().check_url(text)
    except UrlError:
        return
    assert url.text == text
    assert url.scheme in ("http", "https")
    assert url.target.startswith("/")
    assert url.target.isascii()
    assert not set(url.target) & set(" \r\n\t#")
    again = parse_url(f"{url.scheme}://{url.authority}{url.target}")
    assert (again.host, again.port, again.target) == (url.host, url.port, url.target)
    if url.host.replace(".", "").isdigit() or ":" in url.host:
        assert permits(guard(), url.host, url.port)
