"""Let new connections start one after another, so that many at once do not hold the event loop.

Starting a connection takes a tenth of a millisecond or more, and with TLS half a millisecond, as
much as twenty requests on kept connections. If hundreds of deliveries become due at once, the
others must not wait until all of these connections are started.
"""

import asyncio
from collections import OrderedDict, deque


class DialTurns:
    """Permits one start in each iteration of the event loop; environments take turns.

    Those that wait are at most the attempts in flight, each until its own deadline.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, environment_id: str) -> None:
        """Return at once if no other connection is started in this iteration, else wait."""
        if not self._is_taken:
            self._is_taken = True
            self._loop.call_soon(self._next)
            return
        turn = self._loop.create_future()
        self._waiting.setdefault(environment_id, deque()).append(turn)
        await turn

    def _next(self) -> None:
        while self._waiting:
            environment_id, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[environment_id] = turns  # after those of the other environments
            if not turn.done():  # otherwise its deadline has passed
                turn.set_result(None)
                self._loop.call_soon(self._next)
                return
        self._is_taken = False
