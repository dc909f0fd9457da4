"""Write large bodies in turns, a piece at a time, so that they do not hold the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

PIECES_A_TURN_LIMIT = 2
"""Most pieces that are written in one iteration of the event loop. Otherwise large bodies to many
receivers, megabytes that the kernel takes at once, would hold the loop."""


class BodyTurns:
    """The writers of large bodies that wait for their turn.

    A writer writes one piece, and returns True if another one can follow.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], bool]] = deque()

    def put(self, write_piece: Callable[[], bool]) -> None:
        """Call a writer when it is its turn, again and again until it returns False."""
        if not self._waiting:
            self._loop.call_soon(self._write)
        self._waiting.append(write_piece)

    def _write(self) -> None:
        # A writer with more to write comes after the others.
        for _ in range(min(PIECES_A_TURN_LIMIT, len(self._waiting))):
            write_piece = self._waiting.popleft()
            if write_piece():
                self._waiting.append(write_piece)
        if self._waiting:
            self._loop.call_soon(self._write)
