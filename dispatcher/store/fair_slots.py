"""A few slots, shared out fairly between those who compete for them, with a bounded wait.

What is scarce on the admin port (connections to the database, the process that compares schemas,
threads) is taken through one of these, so that one environment cannot use up what all need.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class BusyError(Exception):
    """Every slot is taken, and none became free in time, or too many wait already."""


class FairSlots:
    """Slots taken by a key, such as an environment. Those who wait are served key by key.

    `slots` is how many there are, `share` how many one key may hold at one time. At most `waiting`
    callers wait, `waiting_of_one` of them for one key, and none longer than `wait_seconds`. When
    all places are taken, the key with the longest queue gives up its newest one for a newcomer.
    """

    def __init__(
        self,
        slots: int,
        *,
        share: int,
        waiting: int = 64,
        waiting_of_one: int = 32,
        wait_seconds: float = 2.0,
    ) -> None:
        self._free = slots
        self._share = share
        self._places = waiting
        self._places_of_one = waiting_of_one
        self._wait_seconds = wait_seconds
        self._held: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        """Hold a slot for `key`. Raises BusyError."""
        if key in self._queues or not self._has_room(key):
            await self._wait(key)
        else:
            self._take(key)
        try:
            yield
        finally:
            self._give_back(key)

    async def _wait(self, key: str) -> None:
        """Return once a slot was taken for `key`."""
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
        """Wait no longer. A slot that was given in the same moment goes to the next one."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._give_back(key)
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
        longest = max(self._queues, key=lambda each: len(self._queues[each]))
        if len(self._queues[longest]) <= own + 1:
            raise BusyError("too many wait already")
        self._queues[longest].pop().set_exception(BusyError("others wait for their first one"))

    def _has_room(self, key: str) -> bool:
        return self._free > 0 and self._held[key] < self._share

    def _take(self, key: str) -> None:
        self._free -= 1
        self._held[key] += 1

    def _give_back(self, key: str) -> None:
        self._free += 1
        self._held[key] -= 1
        if self._held[key] <= 0:
            del self._held[key]
        self._hand_on()

    def _hand_on(self) -> None:
        """Give what is free to those who wait, the key that had its turn longest ago first."""
        while self._free > 0:
            key = next((each for each in self._queues if self._has_room(each)), None)
            if key is None:
                return
            queue = self._queues.pop(key)
            turn = queue.popleft()
            if queue:
                self._queues[key] = queue  # at the end: the others come first
            if not turn.done():
                self._take(key)
                turn.set_result(None)
