"""Share a few slots fairly between those who compete for them, with a limited wait.

The admin port has scarce resources: database connections, the process that checks schemas, and
threads. So has the transport: few TLS connections to one receiver are made at a time, and few
contexts with certificates of webhooks are built. Each is taken through one of these objects.
Otherwise one environment could use up what all environments need.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

REST_SECONDS = 1.0
"""Longest rest of a key. Otherwise one slow request would keep its key from the slots for long."""


class BusyError(Exception):
    """Every slot is taken, and none became free in time or too many callers are waiting."""


class Hold:
    """A slot that is held. `rest_seconds` may be set: the rest after it, None for the usual one."""

    __slots__ = ("rest_seconds",)

    def __init__(self) -> None:
        self.rest_seconds: float | None = None


class SharedSlots:
    """Slots that callers take by a fairness key, such as an environment; keys are served in turn.

    `slots` is how many there are. `slots_of_one` is how many one key may hold at one time. At most
    `waiting` callers wait, `waiting_of_one` of them for one key, and each at most `wait_seconds`.
    After a slot is left it is free for other keys at once, and for the same key only after a rest
    of `rest` times as long as it was held, at most REST_SECONDS and half of `wait_seconds`. When
    all waiting places are taken, the key with the longest queue gives up its newest place to a
    caller whose key has at least two places fewer.
    """

    def __init__(
        self,
        slots: int,
        *,
        slots_of_one: int,
        waiting: int = 64,
        waiting_of_one: int = 32,
        wait_seconds: float = 2.0,
        rest: float = 0.0,
    ) -> None:
        self._free = slots
        self._slots_of_one = slots_of_one
        self._places = waiting
        self._places_of_one = waiting_of_one
        self._wait_seconds = wait_seconds
        self._rest = rest
        # A rest longer than the wait would refuse every caller of the key.
        self._longest_rest = min(REST_SECONDS, wait_seconds / 2)
        self._held: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Return how many callers wait for a slot."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[Hold]:
        """Hold a slot for `key`. Raise BusyError if none is free in time."""
        if key in self._queues or not self._has_room(key):
            await self._wait(key)
        else:
            self._take(key)
        loop = asyncio.get_running_loop()
        since = loop.time()
        hold = Hold()
        try:
            yield hold
        finally:
            self._free += 1
            rest_seconds = hold.rest_seconds
            if rest_seconds is None:
                rest_seconds = min((loop.time() - since) * self._rest, self._longest_rest)
            if rest_seconds:
                loop.call_later(rest_seconds, self._end_rest, key)
                self._hand_on()
            else:
                self._end_rest(key)

    async def _wait(self, key: str) -> None:
        """Take a slot for `key`, waiting until one is free."""
        self._make_place(key)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            self._leave(key, turn)
            if isinstance(error, TimeoutError):
                raise BusyError("none became free in time") from None
            raise

    def _leave(self, key: str, turn: "asyncio.Future[None]") -> None:
        """Stop waiting. Hand a slot that was given at the same time to the next caller."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._free += 1
            self._end_rest(key)
            return
        queue = self._queues.get(key)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[key]

    def _make_place(self, key: str) -> None:
        own = len(self._queues.get(key, ()))
        if own >= self._places_of_one:
            raise BusyError("too many wait already")
        if self.waiting < self._places:
            return
        longest = max(self._queues, key=lambda waiting_key: len(self._queues[waiting_key]))
        if len(self._queues[longest]) <= own + 1:
            raise BusyError("too many wait already")
        newest = self._queues[longest].pop()
        if not newest.done():  # else its caller has just given up
            newest.set_exception(BusyError("its place went to one of whom fewer wait"))

    def _has_room(self, key: str) -> bool:
        return self._free > 0 and self._held[key] < self._slots_of_one

    def _take(self, key: str) -> None:
        self._free -= 1
        self._held[key] += 1

    def _end_rest(self, key: str) -> None:
        """Let the key take its slot again."""
        self._held[key] -= 1
        if self._held[key] <= 0:
            del self._held[key]
        self._hand_on()

    def _hand_on(self) -> None:
        """Give free slots to waiting callers, starting with the key that was served longest ago."""
        while self._free > 0:
            key = next(filter(self._has_room, self._queues), None)
            if key is None:
                return
            queue = self._queues.pop(key)
            turn = queue.popleft()
            if queue:
                self._queues[key] = queue  # at the end, so that the other keys come first
            if not turn.done():
                self._take(key)
                turn.set_result(None)
