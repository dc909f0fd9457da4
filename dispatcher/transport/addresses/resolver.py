"""Resolve host names to permitted addresses; a slow name server must not delay other lookups.

`getaddrinfo` can be neither cancelled nor limited in time. So each lookup has its own thread, and
at most one runs for a host. The thread ends when `getaddrinfo` does, but the callers stop waiting
after BUDGET_SECONDS. The number of threads is bounded in three classes, and shared out between
environments by `lookup_threads`:

| class | hosts                                                                          |
|-------|--------------------------------------------------------------------------------|
| known | looked up in time, or reached by a delivery, without a timeout since           |
| new   | all others                                                                     |
| slow  | the last lookup timed out; retried after a pause that doubles with each timeout |
"""

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dispatcher.transport.addresses.egress import AddrInfo, Guard
from dispatcher.transport.addresses.hosts_file import HostsFile
from dispatcher.transport.addresses.known_hosts import KnownHosts
from dispatcher.transport.addresses.lookup_threads import LookupThreads

BUDGET_SECONDS = 2.0
"""Longest wait of a caller, once for a free thread and once more for the answer."""

THREADS_LIMIT = {"known": 16, "new": 48, "slow": 8}
"""Most lookups at once in each class."""
THREADS_OF_ONE_LIMIT = {"known": 8, "new": 12, "slow": 2}
"""Most lookups at once of one environment in each class."""

FIRST_PAUSE_SECONDS = 2.0
PAUSE_LIMIT_SECONDS = 30.0
"""First and longest pause before a host that timed out is looked up again."""

SLOW_LIMIT = 4096
"""Most hosts remembered as slow."""
CACHE_LIMIT = 4096
"""Most answers in the cache."""
CACHE_SECONDS = 10.0

ADDRESSES_LIMIT = 4
"""Most addresses of an answer that are tried, IPv4 and IPv6 alternating."""


class Resolver:
    """A resolver of host names; it refuses an answer with a forbidden address as a whole.

    `budget` is the longest wait in seconds. `getaddrinfo` is called in threads, with the arguments
    of `socket.getaddrinfo`.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        budget: float = BUDGET_SECONDS,
        getaddrinfo: Callable[..., list[Any]] = socket.getaddrinfo,
        hosts: HostsFile | None = None,
    ) -> None:
        self._guard = guard
        self._budget = budget
        self._getaddrinfo = getaddrinfo
        self._hosts = hosts or HostsFile()
        self._threads = {
            name: LookupThreads(limit, THREADS_OF_ONE_LIMIT[name])
            for name, limit in THREADS_LIMIT.items()
        }
        self._known = KnownHosts()
        self._slow: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._cache: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()
        self._running: dict[str, asyncio.Future[list[str] | OSError]] = {}

    async def resolve(self, host: str, port: int, environment_id: str = "") -> list[AddrInfo]:
        """Return at most `ADDRESSES_LIMIT` addresses of the host.

        The lookup counts for the environment. Raise OSError if there is no address or no answer in
        time, and BlockedError if one of the addresses is not permitted.
        """
        answer = self._cached(host)
        if answer is None:
            answer = await self._ask(host, environment_id)
        for address in answer:
            self._guard.check_address(address, port)
        return [addr_info(address, port) for address in _in_turn(answer)[:ADDRESSES_LIMIT]]

    def reached(self, host: str, environment_id: str = "") -> None:
        """Note that a delivery has reached this host, so that its next lookup is in class known."""
        self._known.add(host, environment_id, is_reached=True)

    def _cached(self, host: str) -> list[str] | None:
        until, answer = self._cache.get(host, (0.0, []))
        return answer if asyncio.get_running_loop().time() < until else None

    async def _ask(self, host: str, environment_id: str) -> list[str]:
        if host not in self._running:
            await self._start_when_possible(host, environment_id)
        try:
            async with asyncio.timeout(self._budget):
                # A caller that gives up must not cancel the answer for the others.
                answer = await asyncio.shield(self._running[host])
        except TimeoutError:
            self._note_timeout(host)
            raise _again(f"the name servers did not answer within {self._budget:g} s") from None
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def _start_when_possible(self, host: str, environment_id: str) -> None:
        threads = self._threads[self._class_of(host, environment_id)]
        try:
            async with asyncio.timeout(self._budget):
                await threads.take(environment_id)
        except TimeoutError:
            raise _again("too many other names are being looked up") from None
        if host in self._running:
            threads.give_back(environment_id)
        else:
            self._start(host, environment_id, threads)

    def _class_of(self, host: str, environment_id: str) -> str:
        if host in self._slow:
            _, until = self._slow[host]
            if asyncio.get_running_loop().time() < until:
                raise _again("the name servers did not answer a moment ago")
            return "slow"
        return "known" if self._known.knows(host, environment_id) else "new"

    def _start(self, host: str, environment_id: str, threads: LookupThreads) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()

        def finish(answer: list[str] | OSError) -> None:
            threads.give_back(environment_id)
            self._running.pop(host).set_result(answer)
            if loop.time() - started < self._budget:
                self._note_answer(host, environment_id, answer)

        def run() -> None:
            answer = self._look_up_or_fail(host)
            with suppress(RuntimeError):  # the loop is closed: the answer is not needed
                loop.call_soon_threadsafe(finish, answer)

        self._running[host] = loop.create_future()
        try:
            # A daemon thread. Otherwise a lookup without an answer would delay the process's exit.
            threading.Thread(target=run, name=f"resolve {host}", daemon=True).start()
        except Exception as error:
            # The system has no thread left, so undo the start. Otherwise the lookup would seem to
            # run without an end, and its thread would stay taken.
            del self._running[host]
            threads.give_back(environment_id)
            raise _again("no thread can be started to look it up") from error

    def _look_up_or_fail(self, host: str) -> list[str] | OSError:
        """Return what `_look_up` does, or a temporary failure: `finish` must always be called."""
        try:
            return self._look_up(host)
        except Exception as error:  # noqa: BLE001 - errors of any kind, such as MemoryError
            return _again(f"the lookup failed: {type(error).__name__}")

    def _look_up(self, host: str) -> list[str] | OSError:
        name = host
        if "." in host:
            if listed := self._hosts.addresses(host):
                return list(listed)
            # The final dot makes the name absolute. Otherwise search domains would be tried too.
            name = f"{host.removesuffix('.')}."
        try:
            address_infos = self._getaddrinfo(
                name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except OSError as error:
            return error
        except ValueError:
            return socket.gaierror(socket.EAI_NONAME, "not a name that can be looked up")
        return list(dict.fromkeys(address[0] for *_, address in address_infos))

    def _note_answer(self, host: str, environment_id: str, answer: list[str] | OSError) -> None:
        self._slow.pop(host, None)
        if isinstance(answer, OSError):
            return
        self._known.add(host, environment_id)
        self._cache[host] = (asyncio.get_running_loop().time() + CACHE_SECONDS, answer)
        self._cache.move_to_end(host)
        if len(self._cache) > CACHE_LIMIT:
            self._cache.popitem(last=False)

    def _note_timeout(self, host: str) -> None:
        """Delay the next lookup of the host, longer after each timeout."""
        now = asyncio.get_running_loop().time()
        timeouts, until = self._slow.get(host, (0, 0.0))
        if now < until:
            return  # another caller of the same lookup has noted it
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(timeouts, 10), PAUSE_LIMIT_SECONDS)
        self._known.discard(host)
        self._slow[host] = (timeouts + 1, now + pause)
        self._slow.move_to_end(host)
        if len(self._slow) > SLOW_LIMIT:
            self._slow.popitem(last=False)


def _again(reason: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, reason)


def _in_turn(addresses: list[str]) -> list[str]:
    """Return the addresses with IPv4 and IPv6 alternating; the first one stays first."""
    families: dict[bool, list[str]] = {}
    for address in addresses:
        families.setdefault(":" in address, []).append(address)
    ranked = [pair for family in families.values() for pair in enumerate(family)]
    return [address for _, address in sorted(ranked, key=lambda pair: pair[0])]


def addr_info(address: str, port: int) -> AddrInfo:
    """Return the TCP socket address in the form of `getaddrinfo`."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
