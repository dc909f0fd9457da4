"""The sockets of the admin port: on every address of a host, or on none."""

import socket

import pytest

from dispatcher.api.port import sockets


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:"), ("", "http://"), ("::1", "http://[::1]:")],
)
async def test_connections_wait_until_they_are_accepted(host: str, url: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("a machine without IPv6")
    listening = await sockets.listen(host, 0)
    try:
        assert sockets.address_of(listening).startswith(url)
        for listener in listening:
            with socket.socket(listener.family, socket.SOCK_STREAM) as client:
                client.connect(listener.getsockname())
    finally:
        for listener in listening:
            listener.close()


async def test_a_port_in_use_is_an_error() -> None:
    (first,) = await sockets.listen("127.0.0.1", 0)
    with first, pytest.raises(OSError, match="in use"):
        await sockets.listen("127.0.0.1", first.getsockname()[1])


async def test_an_unknown_host_is_an_error() -> None:
    with pytest.raises(OSError, match=r"known|resolution"):
        await sockets.listen("nowhere.invalid", 0)
