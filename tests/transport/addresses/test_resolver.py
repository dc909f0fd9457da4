"""Names become addresses within a budget, and a silent name server costs only its own hosts."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.transport.addresses import resolver as module
from dispatcher.transport.addresses.egress import BlockedError, Guard
from dispatcher.transport.addresses.hosts_file import HostsFile, parse_hosts
from dispatcher.transport.addresses.known_hosts import KnownHosts
from dispatcher.transport.addresses.resolver import Resolver
from tests.waiting import until

PUBLIC = "93.184.216.34"
BUDGET = 0.5


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
    await until(lambda: not made.waiting, "no lookup waits")


@pytest.fixture
def resolver(server: NameServer) -> Resolver:
    guard = Guard(own_address=lambda _: False)
    return Resolver(guard, budget=BUDGET, getaddrinfo=server, hosts=HostsFile("/nonexistent"))


async def addresses(resolver: Resolver, host: str, environment_id: str = "") -> list[str]:
    return [str(address[0]) for *_, address in await resolver.resolve(host, 443, environment_id)]


async def unanswered(resolver: Resolver, hosts: Iterable[str], environment_id: str = "") -> None:
    """Ask for all of them at once, and wait until everybody has given up."""
    asked = [resolver.resolve(host, 443, environment_id) for host in hosts]
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(error, socket.gaierror) for error in errors)


async def test_a_name_becomes_addresses_with_the_port_that_was_asked_for(
    resolver: Resolver, server: NameServer
) -> None:
    server.table["a.example"] = [PUBLIC, "2606:4700::1111"]
    assert await resolver.resolve("a.example", 8443) == [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (PUBLIC, 8443)),
        (
            socket.AF_INET6,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
            "",
            ("2606:4700::1111", 8443, 0, 0),
        ),
    ]


@pytest.mark.parametrize(
    ("host", "asked"),
    [("a.example", "a.example."), ("a.example.", "a.example."), ("localhost", "localhost")],
)
async def test_a_name_is_looked_up_without_search_domains(
    resolver: Resolver, server: NameServer, host: str, asked: str
) -> None:
    await resolver.resolve(host, 443)
    assert server.asked == [asked]


async def test_at_most_four_addresses_are_tried_alternating_the_families(
    resolver: Resolver, server: NameServer
) -> None:
    v6 = [f"2606:4700::{n}" for n in range(1, 101)]
    server.table["many.example"] = [*v6, *(f"93.184.216.{n}" for n in range(1, 101))]
    assert await addresses(resolver, "many.example") == [
        "2606:4700::1", "93.184.216.1", "2606:4700::2", "93.184.216.2",
    ]  # fmt: skip


@pytest.mark.parametrize("inward", ["10.0.0.1", "::1", "fe80::1%eth0", "::ffff:93.184.216.34"])
async def test_one_forbidden_address_refuses_the_name_even_if_it_comes_late(
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


async def test_a_name_that_cannot_be_looked_up_is_unknown(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_getaddrinfo", socket.getaddrinfo)
    with pytest.raises(socket.gaierror):
        await resolver.resolve("a" * 64 + ".example", 443)


async def test_a_silent_lookup_ends_after_the_budget(
    resolver: Resolver, server: NameServer
) -> None:
    server.silent = {"silent.example"}
    started = asyncio.get_running_loop().time()
    with pytest.raises(socket.gaierror, match=r"did not answer within 0\.5 s"):
        await resolver.resolve("silent.example", 443)
    assert asyncio.get_running_loop().time() - started < BUDGET + 5


async def test_a_host_has_one_lookup_at_a_time_even_if_waiters_give_up(
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
    forget_answers(resolver)
    server.silent = {f"silent-{n}.example" for n in range(count)}
    waiting = [asyncio.create_task(resolver.resolve(host, 443)) for host in server.silent]
    threads = min(count, module.THREADS_OF_ONE_LIMIT["new"])
    await until(lambda: server.waiting >= threads, "all threads wait")
    assert await addresses(resolver, "known.example") == [PUBLIC]
    assert server.waiting <= module.THREADS_OF_ONE_LIMIT["new"]
    await asyncio.gather(*waiting, return_exceptions=True)
    forget_answers(resolver)
    assert await addresses(resolver, "known.example") == [PUBLIC]


async def test_silent_hosts_of_one_environment_do_not_hold_up_new_ones_of_another(
    resolver: Resolver, server: NameServer
) -> None:
    server.silent = {f"silent-{n}.example" for n in range(200)}
    silent = asyncio.create_task(unanswered(resolver, server.silent, "env_a"))
    threads = module.THREADS_OF_ONE_LIMIT["new"]
    await until(lambda: server.waiting >= threads, "all threads wait")
    for n in range(20):
        assert await addresses(resolver, f"new-{n}.example", "env_b") == [PUBLIC]
    await silent
    # Those that timed out have few threads from now on, and none for a moment.
    again = asyncio.create_task(unanswered(resolver, server.silent, "env_a"))
    assert await addresses(resolver, "another.example", "env_b") == [PUBLIC]
    await again


async def test_silent_hosts_of_many_environments_do_not_hold_up_new_ones_of_another(
    resolver: Resolver, server: NameServer
) -> None:
    names = {f"env_{e}": [f"silent-{n}.{e}.example" for n in range(40)] for e in range(4)}
    server.silent = {host for hosts in names.values() for host in hosts}
    silent = [
        asyncio.create_task(unanswered(resolver, hosts, environment_id))
        for environment_id, hosts in names.items()
    ]
    await until(lambda: server.waiting >= 40, "most threads wait")
    for n in range(20):
        assert await addresses(resolver, f"new-{n}.example", "env_b") == [PUBLIC]
    await asyncio.gather(*silent)


async def test_when_the_silence_ends_new_hosts_are_served_again(
    resolver: Resolver, server: NameServer
) -> None:
    server.silent = {f"silent-{n}.example" for n in range(module.THREADS_OF_ONE_LIMIT["new"])}
    await unanswered(resolver, server.silent)
    with pytest.raises(socket.gaierror, match="too many other names"):
        await resolver.resolve("new.example", 443)
    assert "new.example." not in server.asked
    server.speak()
    await until(lambda: not server.waiting, "no lookup waits")
    assert await addresses(resolver, "new.example") == [PUBLIC]


async def test_waiting_in_vain_for_a_thread_does_not_make_a_host_slow(
    resolver: Resolver, server: NameServer
) -> None:
    server.silent = {f"silent-{n}.example" for n in range(module.THREADS_OF_ONE_LIMIT["new"])}
    await unanswered(resolver, server.silent)
    await unanswered(resolver, ["new.example"])
    assert "new.example" not in resolver._slow


async def test_a_cancelled_lookup_leaves_its_thread_to_the_next(
    resolver: Resolver, server: NameServer
) -> None:
    server.silent = {f"silent-{n}.example" for n in range(module.THREADS_OF_ONE_LIMIT["new"])}
    silent = asyncio.create_task(unanswered(resolver, server.silent))
    await until(lambda: server.waiting >= len(server.silent), "all silent hosts are asked for")
    first = asyncio.create_task(resolver.resolve("first.example", 443))
    second = asyncio.create_task(addresses(resolver, "second.example"))
    await asyncio.sleep(0)
    first.cancel()
    server.speak()
    assert await second == [PUBLIC]
    await asyncio.gather(silent, first, return_exceptions=True)


async def test_lookups_go_on_when_the_system_has_threads_again(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    hosts = [f"host-{n}.example" for n in range(module.THREADS_OF_ONE_LIMIT["new"] + 1)]
    with monkeypatch.context() as at_limit:
        at_limit.setattr(threading.Thread, "start", refuse)
        for host in hosts:
            with pytest.raises(socket.gaierror, match="no thread can be started") as caught:
                await resolver.resolve(host, 443, "env_a")
            assert caught.value.errno == socket.EAI_AGAIN
    for host in (*hosts, "new.example"):
        assert await addresses(resolver, host, "env_a") == [PUBLIC]


async def test_a_lookup_that_breaks_fails_for_its_callers_and_gives_its_thread_back(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> list[Any]:
        raise MemoryError

    with monkeypatch.context() as short_of_memory:
        short_of_memory.setattr(resolver, "_getaddrinfo", broken)
        for _ in range(module.THREADS_OF_ONE_LIMIT["new"] + 1):
            with pytest.raises(socket.gaierror, match="the lookup failed: MemoryError"):
                await resolver.resolve("broken.example", 443)
    assert await addresses(resolver, "broken.example") == [PUBLIC]


async def test_a_host_that_times_out_is_skipped_for_growing_times(
    resolver: Resolver, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.silent = {"silent.example"}
    await unanswered(resolver, ["silent.example"])
    server.speak()
    await until(lambda: not server.waiting and not resolver._running, "no lookup runs")
    with pytest.raises(socket.gaierror, match="a moment ago"):
        await resolver.resolve("silent.example", 443)
    assert server.asked == ["silent.example."]
    timeouts, skipped_until = resolver._slow["silent.example"]
    assert timeouts == 1
    now = asyncio.get_running_loop().time()
    assert now < skipped_until <= now + module.FIRST_PAUSE_SECONDS
    resolver._slow["silent.example"] = (9, 0.0)  # the pause is over
    resolver._note_timeout("silent.example")
    assert resolver._slow["silent.example"][1] > now + module.PAUSE_LIMIT_SECONDS - 1
    resolver._slow["silent.example"] = (10, 0.0)
    assert await addresses(resolver, "silent.example") == [PUBLIC]
    assert "silent.example" not in resolver._slow
    assert resolver._known.knows("silent.example", "")


async def test_a_host_that_falls_silent_is_no_longer_known(
    resolver: Resolver, server: NameServer
) -> None:
    await resolver.resolve("known.example", 443)
    assert resolver._known.knows("known.example", "")
    forget_answers(resolver)
    server.silent = {"known.example"}
    await unanswered(resolver, ["known.example"])
    assert not resolver._known.knows("known.example", "")


async def test_thousands_of_rare_hosts_do_not_evict_those_in_use(
    resolver: Resolver, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "_known", KnownHosts(limit=1000))
    await resolver.resolve("established.example", 443, "env_a")
    resolver.reached("established.example", "env_a")
    for n in range(1100):
        resolver._note_answer(f"host-{n}.example", "env_b" if n % 2 else "env_a", [PUBLIC])
    assert resolver._known.knows("established.example", "env_a")
    assert len(resolver._known) == 1000
    forget_answers(resolver)
    server.silent = {f"silent-{n}.example" for n in range(module.THREADS_OF_ONE_LIMIT["new"])}
    await unanswered(resolver, server.silent, "env_a")
    assert await addresses(resolver, "established.example", "env_a") == [PUBLIC]


async def test_an_answer_is_remembered_for_a_moment_and_judged_each_time(
    server: NameServer,
) -> None:
    own: set[object] = set()
    resolver = Resolver(
        Guard(own_address=lambda address: str(address) in own), budget=BUDGET, getaddrinfo=server
    )
    await resolver.resolve("a.example", 443)
    await resolver.resolve("a.example", 443)
    assert server.asked == ["a.example."]
    own.add(PUBLIC)
    with pytest.raises(BlockedError):
        await resolver.resolve("a.example", 443)


async def test_the_numbers_of_remembered_answers_and_slow_hosts_are_limited(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHE_LIMIT", 3)
    monkeypatch.setattr(module, "SLOW_LIMIT", 3)
    for n in range(5):
        resolver._note_answer(f"host-{n}.example", "", [PUBLIC])
        resolver._note_timeout(f"slow-{n}.example")
    assert list(resolver._cache) == ["host-2.example", "host-3.example", "host-4.example"]
    assert list(resolver._slow) == ["slow-2.example", "slow-3.example", "slow-4.example"]


async def test_a_name_with_a_dot_is_found_in_the_hosts_file(
    server: NameServer, tmp_path: Path
) -> None:
    path = tmp_path / "hosts"
    path.write_text(f"{PUBLIC} App.Corp.example # ours\n10.0.0.1 inner.example\n")
    guard = Guard(own_address=lambda _: False)
    resolver = Resolver(guard, budget=BUDGET, getaddrinfo=server, hosts=HostsFile(str(path)))
    assert await addresses(resolver, "app.corp.example") == [PUBLIC]
    assert await addresses(resolver, "app.corp.example.") == [PUBLIC]
    assert server.asked == []
    with pytest.raises(BlockedError):
        await resolver.resolve("inner.example", 443)
    path.write_text(f"{PUBLIC} new.example another\n")
    assert await addresses(resolver, "new.example") == [PUBLIC]
    forget_answers(resolver)
    assert await addresses(resolver, "app.corp.example") == [PUBLIC]
    assert server.asked == ["app.corp.example."]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {}),
        ("# 10.0.0.1 a\n\n   \n", {}),
        ("10.0.0.1 a b.c\n::1\tA  # x", {"a": ("10.0.0.1", "::1"), "b.c": ("10.0.0.1",)}),
        ("10.0.0.1 a\r\n10.0.0.1 a", {"a": ("10.0.0.1",)}),
        ("10.0.0 a\nx 10.0.0.2\n10.0.0.2", {}),
        ("fe80::1%lo a", {"a": ("fe80::1%lo",)}),
        ("10.0.0.1 a.b.", {"a.b": ("10.0.0.1",)}),
    ],
)
def test_the_hosts_file_is_read_as_the_system_reads_it(
    text: str, names: dict[str, tuple[str, ...]]
) -> None:
    assert parse_hosts(text) == names


def test_without_a_hosts_file_there_are_no_names_in_it(tmp_path: Path) -> None:
    assert HostsFile(str(tmp_path / "none")).addresses("a.example") == ()


def test_too_many_hosts_evict_the_oldest_of_the_largest_environment() -> None:
    known = KnownHosts(limit=4)
    known.add("small", "b")
    known.add("reached", "a", is_reached=True)
    for n in range(3):
        known.add(f"host-{n}", "a")
    assert [known.knows(h, "a") for h in ("reached", "host-0", "host-1", "host-2")] == [
        True, False, True, True,
    ]  # fmt: skip
    assert known.knows("small", "b")
    assert not known.knows("small", "a")
    assert len(known) == 4
    known.add("reached", "a")  # looked up again: still one that was reached
    known.add("host-3", "a")
    assert known.knows("reached", "a")
    known.discard("reached")
    assert not known.knows("reached", "a")
    assert len(known) == 3


def forget_answers(resolver: Resolver) -> None:
    resolver._cache.clear()
