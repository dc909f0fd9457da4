"""A receiver is dialled at the first of its addresses that answers, and no socket is left open."""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop

from dispatcher.transport.addresses.egress import AddrInfo
from dispatcher.transport.addresses.resolver import addr_info
from dispatcher.transport.connecting import dial as dialling
from dispatcher.transport.connecting.dial import dial
from tests.waiting import until


class Sockets:
    """Makes sockets, and knows those that were made."""

    def __init__(self) -> None:
        self.made: list[socket.socket] = []

    def __call__(self, address: AddrInfo) -> socket.socket:
        made = socket.socket(*address[:3])
        made.setblocking(False)
        self.made.append(made)
        return made

    @property
    def open(self) -> list[socket.socket]:
        return [sock for sock in self.made if sock.fileno() >= 0]


@contextmanager
def listening(*, backlog: int = 8) -> Iterator[AddrInfo]:
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:
        yield addr_info(*server.getsockname())


@contextmanager
def silent() -> Iterator[AddrInfo]:
    """An address that does not answer, as its queue of connections is full."""
    with listening(backlog=0) as address:
        filling = [socket.socket() for _ in range(3)]
        for sock in filling:
            sock.setblocking(False)
            sock.connect_ex(address[-1])
        yield address
        for sock in filling:
            sock.close()


@contextmanager
def closed() -> Iterator[AddrInfo]:
    """An address where nothing listens, though the port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield addr_info(*taken.getsockname())


def on_either_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())
    uvloop.run(main())


def test_the_one_address_is_dialled_without_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object, **__: object) -> None:
        raise AssertionError("an address is looked up")

    async def main() -> None:
        sockets = Sockets()
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        with await dial([address], sockets) as sock:
            assert sock.getpeername() == address[-1]
        assert sockets.open == []

    with listening() as address:
        on_either_loop(main)


def test_an_address_that_refuses_is_followed_by_the_next_one_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialling, "NEXT_ADDRESS_SECONDS", 60.0)

    async def main() -> None:
        sockets = Sockets()
        async with asyncio.timeout(30):
            with await dial([refusing, address], sockets) as sock:
                assert sock.getpeername() == address[-1]
        assert sockets.open == []

    with closed() as refusing, listening() as address:
        on_either_loop(main)


def test_an_address_that_is_silent_is_followed_by_the_next_one_soon() -> None:
    async def main() -> None:
        sockets = Sockets()
        with await dial([falls_silent, refusing, address], sockets) as sock:
            assert sock.getpeername() == address[-1]
            await asyncio.sleep(0)  # those that were given up end now
            assert sockets.open == [sock]
        assert len(sockets.made) == 3

    with silent() as falls_silent, closed() as refusing, listening() as address:
        on_either_loop(main)


def test_without_an_answer_the_error_is_that_of_all_addresses() -> None:
    async def main() -> None:
        sockets = Sockets()
        for addresses in ([refusing], [refusing, refusing]):
            with pytest.raises(ConnectionRefusedError):
                await dial(addresses, sockets)
        odd = addr_info("255.255.255.255", 80)  # of the same family, but nothing to connect to
        with pytest.raises(OSError, match="none of the addresses answers") as raised:
            await dial([refusing, odd], sockets)
        assert raised.value.errno is None
        assert sockets.open == []

    with closed() as refusing:
        on_either_loop(main)


def test_a_cancelled_dial_leaves_no_socket_open() -> None:
    async def cancel_one(addresses: list[AddrInfo]) -> None:
        sockets = Sockets()
        running = asyncio.create_task(dial(addresses, sockets))
        await until(lambda: len(sockets.made) == len(addresses), "all addresses are dialled")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.sleep(0)  # the dials of both addresses end now
        assert sockets.open == []

    async def main() -> None:
        for addresses in ([falls_silent], [falls_silent, falls_silent]):
            await cancel_one(addresses)

    with silent() as falls_silent:
        on_either_loop(main)


@pytest.mark.parametrize("steps", range(12))
def test_a_dial_that_is_cancelled_as_it_connects_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """At whichever iteration of the event loop that is, also when another address is given up."""
    monkeypatch.setattr(dialling, "NEXT_ADDRESS_SECONDS", 0.0)

    async def main() -> None:
        sockets = Sockets()
        running = asyncio.create_task(dial([falls_silent, address], sockets))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        result, *_ = await asyncio.gather(running, return_exceptions=True)
        if isinstance(result, socket.socket):
            result.close()
        await asyncio.sleep(0)
        assert sockets.open == []

    with silent() as falls_silent, listening(backlog=64) as address:
        on_either_loop(main)


def test_an_address_that_no_socket_may_be_made_for_ends_the_dial() -> None:
    def refuse(_: AddrInfo) -> socket.socket:
        raise OSError(errno.EACCES, "not permitted")

    async def main() -> None:
        with pytest.raises(PermissionError):
            await dial([addr_info("127.0.0.1", 80)] * 2, refuse)

    on_either_loop(main)
