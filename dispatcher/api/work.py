"""What requests may use of memory and threads, shared out between environments."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

from dispatcher.api.types import Failure
from dispatcher.store.fair_slots import BusyError, FairSlots

T = TypeVar("T")

BODIES_BYTES = 64 * 2**20
"""Bytes of bodies that are in memory at one time, unless four of the largest are more."""
SHARES = 4
"""An environment has one of so many shares of that."""
THREADS = 2
LISTINGS = 4
"""Long lists that are made at one time."""
WAITING = 32
WAITING_OF_ONE = 8
"""Large bodies and answers that may wait for a thread: all together, and those of one environment."""


class Work:
    """`largest` is how many bytes one body may have."""

    def __init__(self, largest: int) -> None:
        self._share_bytes = max(BODIES_BYTES // SHARES, largest)
        self._free_bytes = self._share_bytes * SHARES
        self._held_bytes: Counter[str] = Counter()
        self._threads = FairSlots(
            THREADS, share=1, waiting=WAITING, waiting_of_one=WAITING_OF_ONE, wait_seconds=5.0
        )
        self._listings = FairSlots(
            LISTINGS, share=1, waiting=WAITING, waiting_of_one=WAITING_OF_ONE, wait_seconds=5.0
        )

    @asynccontextmanager
    async def listing(self, key: str) -> AsyncIterator[None]:
        """Make a list that may be long: one at a time of an environment, for all take turns on one
        event loop. Raises a Failure (503) when too many wait."""
        async with AsyncExitStack() as held:
            try:
                await held.enter_async_context(self._listings.held(key))
            except BusyError:
                raise busy("Too many long listings at one time. Try again in a moment.") from None
            yield

    @contextmanager
    def body(self, key: str, size: int) -> Iterator[None]:
        """Hold room for a body of `size` bytes. Raises a Failure (503) if there is none."""
        if size > self._free_bytes or self._held_bytes[key] + size > self._share_bytes:
            raise busy("Too many large requests at one time. Try again in a moment.")
        self._free_bytes -= size
        self._held_bytes[key] += size
        try:
            yield
        finally:
            self._free_bytes += size
            self._held_bytes[key] -= size
            if self._held_bytes[key] <= 0:
                del self._held_bytes[key]

    async def in_thread(self, key: str, do: Callable[[], T]) -> T:
        """Do what would keep the event loop, and its heartbeats, waiting. Raises a Failure (503)."""
        try:
            async with self._threads.held(key):
                return await asyncio.to_thread(do)
        except BusyError:
            raise busy("Too many large requests wait. Try again in a moment.") from None


def busy(title: str) -> Failure:
    return Failure(503, "unavailable", title, headers={"Retry-After": "1"})
