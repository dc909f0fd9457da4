"""Names become addresses within a budget, and a silent name server costs only its own hosts."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dispatcher.transport import resolver as resolve
from dispatcher.transport.egress import BlockedError, Guard
from dispatcher.transport.resolver import Resolver

PUBLIC = "93.184.216.34"
BUDGET = 0.15


class NameServer:
    """A `getaddrinfo`: every host has one public address, unless the table says otherwise.

    Hosts named in `silent` keep their threads until `speak`.
    """

    def __init__(self) -> None:
        self.table: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.waiting = 0
        self._lock = threading.Lock()
        self._speak = threading.Event()

    def speak(self) -> None:
        self._speak.set()

    def __call__(self, host: str, port: None, **_: object) -> list[Any]:
        with self._lock:
            self.asked.append(host)
        if host.removesuffix(".") in self.silent:
            with self._lock:
                self.waiting += 1
            self._speak.wait(10)
            with self._lock:
                self.waiting -= 1
        addresses = self.table.get(host.removesuffix("."), [PUBLIC])
        return [(0, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in addresses]


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    made = NameServer()
    yield made
    made.speak()
    while made.waiting:  # noqa: ASYNC110 - threads know no events of the loop
        await asyncio.sleep(0.005)


@pytest.fixture
def resolver(server: NameServer) -> Resolver:
    guard = Guard(own_address=lambda _: False)
    return Resolver(guard, budget=BUDGET, getaddrinfo=server)


async def addresses(resolver: Resolver, host: str) -> list[str]:
    return [found["host"] for found in await resolver.resolve(host, 443)]


async def test_a_name_becomes_addresses_with_the_port_that_was_asked_for(
    resolver: Resolver, server: NameServer
) -> None:
    server.table["a.example"] = [PUBLIC, "2606:4700::1111"]
    first, second = await resolver.resolve("a.example", 8443)
    assert (first["host"], first["family"], first["port"]) == (PUBLIC, socket.AF_INET, 8443)
    assert (second["host"], second["family"]) == ("2606:4700::1111", socket.AF_INET6)
    assert (first["hostname"], second["hostname"]) == ("a.example", "a.example")


@pytest.mark.parametrize(
    ("host", "asked"),
    [("a.example", "a.example."), ("a.example.", "a.example."), ("localhost", "localhost")],
)
async def test_a_name_is_looked_up_without_search_domains(
    resolver: Resolver, server: NameServer, host: str, asked: str
) -> None:
    await resolver.resolve(host, 443)
    assert server.asked == [asked]


async def test_of_many_addresses_four_are_tried_the_families_by_turns(
    resolver: Resolver, server: NameServer
) -> None:
    v6 = [f"2606:4700::{n}" for n in range(1, 101)]
    server.table["many.example"] = [*v6, *(f"93.184.216.{n}" for n in range(1, 101))]
    assert await addresses(resolver, "many.example") == [
        "2606:4700::1", "93.184.216.1", "2606:4700::2", "93.184.216.2",
    ]  # fmt: skip


@pytest.mark.parametrize("inward", ["10.0.0.1", "::1", "fe80::1%eth0", "::ffff:93.184.216.34"])
async def test_one_forbidden_address_spoils_the_answer_however_late_it_comes(
    resolver: Resolver, server: NameServer, inward: str
) -> None:
    server.table["mixed.example"] = [*(f"93.184.216.{n}" for n in range(1, 101)), inward]
    with pytest.raises(BlockedError):
        await resolver.resolve("mixed.example", 443)


async def test_an_unknown_name_raises_what_the_system_says(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(resolver, "_getaddrinfo", unknown)
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            await resolver.resolve("unknown.example", 443)


async def test_a_name_that_can_not_be_asked_for_is_an_unknown_name(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_getaddrinfo", socket.getaddrinfo)
    with pytest.raises(socket.gaierror):
        await resolver.resolve("a" * 64 + ".example", 443)


async def test_silence_ends_with_the_budget(resolver: Resolver, server: NameServer) -> None:
    server.silent = {"silent.example"}
    started = asyncio.get_running_loop().time()
    with pytest.raises(socket.gaierror, match=r"did not answer within 0\.15 s"):
        await resolver.resolve("silent.example", 443)
    assert asyncio.get_running_loop().time() - started < BUDGET + 1


async def test_a_host_has_one_lookup_at_a_time_whoever_gives_up(
    resolver: Resolver, server: NameServer
) -> None:
    server.silent = {"silent.example"}
    first = [asyncio.create_task(resolver.resolve("silent.example", 443)) for _ in range(5)]
    await asyncio.gather(*first, return_exceptions=True)
    patient = asyncio.create_task(addresses(resolver, "silent.example"))
    await asyncio.sleep(0)
    server.speak()
    assert await patient == [PUBLIC]
    assert server.asked == ["silent.example."]
    assert all(isinstance(task.exception(), socket.gaierror) for task in first)


@pytest.mark.parametrize("count", [1, 6, 50, 200])
async def test_silent_hosts_do_not_hold_up_those_that_answered_before(
    resolver: Resolver, server: NameServer, count: int
) -> None:
    await resolver.resolve("known.example", 443)
    server.silent = {f"silent-{n}.example" for n in range(count)}
    waiting = [asyncio.create_task(resolver.resolve(host, 443)) for host in server.silent]
    await asyncio.sleep(0.05)
    started = asyncio.get_running_loop().time()
    assert await addresses(resolver, "known.example") == [PUBLIC]
    assert asyncio.get_running_loop().time() - started < BUDGET
    assert server.waiting <= resolve.THREADS_FOR_STRANGERS
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await addresses(resolver, "known.example") == [PUBLIC]


async def test_when_the_silence_ends_strangers_are_served_again(
    resolver: Resolver, server: NameServer
) -> None:
    server.silent = {f"silent-{n}.example" for n in range(resolve.THREADS_FOR_STRANGERS)}
    waiting = [asyncio.create_task(resolver.resolve(host, 443)) for host in server.silent]
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(socket.gaierror):
        await resolver.resolve("stranger.example", 443)
    assert "stranger.example." not in server.asked
    server.speak()
    while server.waiting:  # noqa: ASYNC110 - threads know no events of the loop
        await asyncio.sleep(0.005)
    assert await addresses(resolver, "stranger.example") == [PUBLIC]


async def test_a_host_that_falls_silent_is_a_stranger_again(
    resolver: Resolver, server: NameServer
) -> None:
    await resolver.resolve("known.example", 443)
    assert list(resolver._known) == ["known.example"]
    server.silent = {"known.example"}
    with pytest.raises(socket.gaierror):
        await resolver.resolve("known.example", 443)
    assert list(resolver._known) == []


async def test_only_so_many_hosts_are_remembered(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "MOST_KNOWN", 3)
    for n in range(5):
        await resolver.resolve(f"host-{n}.example", 443)
    assert list(resolver._known) == ["host-2.example", "host-3.example", "host-4.example"]
