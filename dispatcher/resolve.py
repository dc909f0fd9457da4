"""Names to addresses that may all be dialled, without a silent name server holding up the rest.

`getaddrinfo` can be neither cancelled nor bounded in time. So every lookup has a thread of its own
and runs as long as it likes, one a host, while whoever asked stops waiting when the budget is
spent. Threads are few, and hosts that answered in time before have some that no other can take.
"""

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from dispatcher.egress import Guard

BUDGET = 2.0
"""Seconds before whoever asked stops waiting."""

THREADS_FOR_KNOWN = 16
THREADS_FOR_STRANGERS = 48
MOST_KNOWN = 4096

MOST_ADDRESSES = 4
"""How many of an answer are tried, the families in turn."""

_FLAGS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """Resolves for the HTTP client. An answer with one forbidden address is refused whole.

    `getaddrinfo` is called in threads, as `socket.getaddrinfo` would be.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        budget: float = BUDGET,
        getaddrinfo: Callable[..., list[Any]] = socket.getaddrinfo,
    ) -> None:
        self._guard = guard
        self._budget = budget
        self._getaddrinfo = getaddrinfo
        self._for_known = asyncio.Semaphore(THREADS_FOR_KNOWN)
        self._for_strangers = asyncio.Semaphore(THREADS_FOR_STRANGERS)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._running: dict[str, asyncio.Future[list[str] | OSError]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """At most `MOST_ADDRESSES` addresses. Raises OSError, Blocked if any is forbidden."""
        try:
            async with asyncio.timeout(self._budget):
                answer = await self._answer(host)
        except TimeoutError:
            self._known.pop(host, None)
            raise socket.gaierror(
                socket.EAI_AGAIN, f"the name servers did not answer within {self._budget:g} s"
            ) from None
        if isinstance(answer, OSError):
            raise answer
        for address in answer:
            self._guard.check_address(address, port)
        return [_result(host, address, port) for address in _in_turn(answer)[:MOST_ADDRESSES]]

    async def close(self) -> None:
        """Nothing to close: lookups still running end on their own and are not waited for."""

    async def _answer(self, host: str) -> list[str] | OSError:
        if host not in self._running:
            slots = self._for_known if host in self._known else self._for_strangers
            await slots.acquire()
            if host in self._running:
                slots.release()
            else:
                self._start(host, slots)
        # Whoever gives up must not take the answer away from the others.
        return await asyncio.shield(self._running[host])

    def _start(self, host: str, slots: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()

        def finish(answer: list[str] | OSError) -> None:
            slots.release()
            self._running.pop(host).set_result(answer)
            if loop.time() - started < self._budget:
                self._remember(host)

        def run() -> None:
            answer = self._look_up(host)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, answer)

        self._running[host] = loop.create_future()
        # A daemon thread: a lookup without an answer must not hold up the end of the process.
        threading.Thread(target=run, name=f"resolve {host}", daemon=True).start()

    def _look_up(self, host: str) -> list[str] | OSError:
        # The final dot keeps the search domains of this machine out of it.
        name = f"{host.removesuffix('.')}." if "." in host else host
        try:
            found = self._getaddrinfo(
                name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except OSError as error:
            return error
        except ValueError:
            return socket.gaierror(socket.EAI_NONAME, "not a name that can be looked up")
        return list(dict.fromkeys(address[0] for *_, address in found))

    def _remember(self, host: str) -> None:
        self._known[host] = None
        self._known.move_to_end(host)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


def _in_turn(addresses: list[str]) -> list[str]:
    """The same addresses, IPv4 and IPv6 by turns, the family of the first one first."""
    families: dict[bool, list[str]] = {}
    for address in addresses:
        families.setdefault(":" in address, []).append(address)
    ranked = [pair for family in families.values() for pair in enumerate(family)]
    return [address for _, address in sorted(ranked, key=lambda pair: pair[0])]


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=_FLAGS
    )
