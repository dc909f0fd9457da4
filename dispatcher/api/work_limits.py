"""Limits on the memory and threads that requests use, shared out between environments."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

from dispatcher.api.types import HttpError
from dispatcher.shared_slots import BusyError, SharedSlots

T = TypeVar("T")

BODIES_LIMIT_BYTES = 64 * 2**20
"""Bytes of request bodies in memory at a time, or SHARES times the largest body if that is more."""
SHARES = 4
"""One environment may use one of this many equal shares of BODIES_LIMIT_BYTES."""
THREADS_LIMIT = 2
"""Threads for large bodies. They compete for the interpreter lock, so more would not help."""
LISTING_REST_FACTOR = 8.0
"""An environment rests this many times as long as its long list took, but at most REST_SECONDS: its
lists take at most a ninth of the time, unless one takes longer than an eighth of a second."""
LISTINGS_LIMIT = 4
"""Long lists that are built at a time, by all environments together."""
WAITING_LIMIT = 32
WAITING_OF_ONE_LIMIT = 8
"""How many large bodies or lists may wait for a slot: of all environments, and of one."""


class WorkLimits:
    """The limits in use. `largest` is the maximum size of one body in bytes."""

    def __init__(self, largest: int) -> None:
        self._share_bytes = max(BODIES_LIMIT_BYTES // SHARES, largest)
        self._free_bytes = self._share_bytes * SHARES
        self._held_bytes: Counter[str] = Counter()
        self._threads = SharedSlots(
            THREADS_LIMIT,
            slots_of_one=1,
            waiting=WAITING_LIMIT,
            waiting_of_one=WAITING_OF_ONE_LIMIT,
            wait_seconds=5.0,
        )
        self._listings = SharedSlots(
            LISTINGS_LIMIT,
            slots_of_one=1,
            waiting=WAITING_LIMIT,
            waiting_of_one=WAITING_OF_ONE_LIMIT,
            wait_seconds=5.0,
            rest=LISTING_REST_FACTOR,
        )

    @asynccontextmanager
    async def listing(self, key: str) -> AsyncIterator[None]:
        """Hold the slot for building a long list; one environment has only one.

        Its next one begins after a rest (LISTING_REST_FACTOR). Otherwise one environment could take
        the whole time of the event loop. Raise an HttpError (503) if too many wait.
        """
        async with AsyncExitStack() as held:
            try:
                await held.enter_async_context(self._listings.hold(key))
            except BusyError:
                raise busy("Too many long listings at one time. Try again in a moment.") from None
            yield

    @contextmanager
    def body(self, key: str, size: int) -> Iterator[Callable[[int], None]]:
        """Hold memory for a body of `size` bytes. Raise an HttpError (503) if there is none left.

        Yield a function that holds memory for more, up to the size in bytes that it is given. It
        raises the same error.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            more = size - held
            if more <= 0:
                return
            if more > self._free_bytes or self._held_bytes[key] + more > self._share_bytes:
                raise busy("Too many large requests at one time. Try again in a moment.")
            self._free_bytes -= more
            self._held_bytes[key] += more
            held = size

        try:
            hold(size)
            yield hold
        finally:
            self._free_bytes += held
            self._held_bytes[key] -= held
            if self._held_bytes[key] <= 0:
                del self._held_bytes[key]

    async def in_thread(self, key: str, do: Callable[[], T]) -> T:
        """Run `do` in a thread, so that it does not block the event loop and its heartbeats.

        Return its result. Raise an HttpError (503) if too many wait for a thread.
        """
        try:
            async with self._threads.hold(key):
                return await asyncio.to_thread(do)
        except BusyError:
            raise busy("Too many large requests wait. Try again in a moment.") from None


def busy(title: str) -> HttpError:
    """Return the failure for a limit that is reached."""
    return HttpError(503, "unavailable", title, headers={"Retry-After": "1"})
