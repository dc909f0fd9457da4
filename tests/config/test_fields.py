from ipaddress import ip_network

import pytest

from dispatcher.config.fields import (
    header_name,
    network,
    seconds,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1ms", 0.001),
        ("10s", 10),
        ("1.5m", 90),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("0s", 0),
    ],
)
def test_a_duration_is_a_number_and_its_unit(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "10", "s", "1 s", "1S", "+1s", "1e3s", ".5s", "1.s", "1w"])
def test_other_texts_are_not_durations(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "addresses", "port"),
    [
        ("10.1.0.0/16", "10.1.0.0/16", None),
        ("10.1.2.3", "10.1.2.3/32", None),
        ("10.1.2.3/32:8080", "10.1.2.3/32", 8080),
        ("10.1.2.3:65535", "10.1.2.3/32", 65535),
        ("fd00::/8", "fd00::/8", None),
        ("::1", "::1/128", None),
        ("[fd00::/8]:8080", "fd00::/8", 8080),
    ],
)
def test_a_network_may_name_a_port(text: str, addresses: str, port: int | None) -> None:
    assert network(text) == (ip_network(addresses), port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "10.1.2.3/8",
        "10.1.2.3/33",
        "10.1.0.0/16:",
        "10.1.0.0/16:http",
        "10.1.0.0/16:0",
        "10.1.0.0/16:65536",
        "10.1.0.0/16:٣",
        "[fd00::/8]",
        "[fd00::/8]:",
        "[fd00::/8]8080",
        "[10.0.0.0/8]:0",
    ],
)
def test_a_text_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|port"):
        network(text)


@pytest.mark.parametrize("text", ["", "X A", "X:A", "Ä", "X\r\nA", "x" * 101])
def test_a_name_that_http_forbids_is_not_a_header_name(text: str) -> None:
    with pytest.raises(ValueError, match="HTTP header"):
        header_name(text)
