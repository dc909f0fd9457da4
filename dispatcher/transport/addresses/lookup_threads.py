"""Share the threads of lookups out, so that environments with silent name servers leave some free.

A thread whose name server does not answer is held for 10 s and more. So the fewer threads are free,
the fewer an environment may hold: the free ones are for the environments that hold few.
"""

import asyncio
from collections import Counter, OrderedDict, deque

HELD_PER_FREE = 1
"""Threads an environment may hold for each free one.

If four environments take as many as they may, each has a fifth, and the last fifth stays free for
the others.
"""


class LookupThreads:
    """The running lookups of one class, and the callers that wait for a free thread.

    `limit` is how many threads there are, `of_one` how many one environment may hold at most. A
    free thread goes to the waiting environment that holds the fewest, and of these to the one that
    was served longest ago.
    """

    def __init__(self, limit: int, of_one: int) -> None:
        self._limit = limit
        self._of_one = of_one
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, environment_id: str) -> None:
        """Wait until a lookup may start; call `give_back` when it has ended."""
        if self._is_free(environment_id):
            self._running[environment_id] += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(environment_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._leave(environment_id, turn)
            raise

    def give_back(self, environment_id: str) -> None:
        """Free a thread, and let waiting callers start whose environment may have another one."""
        self._running[environment_id] -= 1
        if not self._running[environment_id]:
            del self._running[environment_id]
        while self._waiting:
            name = min(self._waiting, key=lambda waiting: self._running[waiting])
            if not self._is_free(name):
                return
            queue = self._waiting.pop(name)
            turn = queue.popleft()
            if queue:
                self._waiting[name] = queue  # at the end, so that the other environments come first
            if not turn.done():
                self._running[name] += 1
                turn.set_result(None)

    def _leave(self, environment_id: str, turn: asyncio.Future[None]) -> None:
        """Stop waiting. Hand a thread that was given at the same time to the next caller."""
        if not turn.cancelled():
            self.give_back(environment_id)
            return
        queue = self._waiting.get(environment_id)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[environment_id]

    def _is_free(self, environment_id: str) -> bool:
        held, free = self._running[environment_id], self._limit - self._running.total()
        return held < min(self._of_one, HELD_PER_FREE * free)
