"""Cut a range of whole numbers into pieces, each of which one statement can read in time.

While an old snapshot is in use, the rows of ended deliveries stay in the table, and a search has to
pass them: there may be millions. A piece that takes long is divided, neighbours that are fast are
joined, and the pieces are kept from round to round. Pure.
"""

from bisect import bisect_left
from collections.abc import Iterable

SLOW_SECONDS = 0.1
"""A piece that takes longer is divided."""
FAST_SECONDS = 0.02
"""Neighbours that take less together are joined."""
PARTS = 4
"""The parts of a piece that is divided."""
CUTS_LIMIT = 1_000
"""Most borders between pieces, so that memory stays small."""


class Pieces:
    """The pieces from 0 up to a top, read from the last one down in rounds.

    A piece is a pair: the first number of it, and the first one after it. Pieces of less than
    `smallest` for each part are not divided. With `newest`, the numbers are times: the piece that
    begins at 0 is divided into one of this length, and older ones, each PARTS times as long.
    """

    def __init__(self, *, smallest: int, newest: int | None = None) -> None:
        self._smallest = smallest
        self._newest = newest
        self._cuts: list[int] = []
        self._end = 0
        self._previous_seconds = float("inf")

    @property
    def current(self) -> tuple[int, int] | None:
        """Return the piece to read next, None if no round is under way."""
        return self.last(self._end) if self._end > 0 else None

    def last(self, top: int) -> tuple[int, int]:
        """Return the last piece of those up to `top`."""
        index = bisect_left(self._cuts, top)
        return (self._cuts[index - 1] if index else 0), top

    def begin(self, top: int, previous_seconds: float = float("inf")) -> None:
        """Begin a round below `top`; the piece above it, if any, took `previous_seconds`."""
        self._cuts = [cut for cut in self._cuts if cut <= top]
        self._end = top
        self._previous_seconds = previous_seconds

    def note_read(self, seconds: float) -> None:
        """Note that the current piece was read in `seconds`, and go on to the one before it."""
        begin, end = self.last(self._end)
        self._end = begin
        if seconds > SLOW_SECONDS:
            self.divide(begin, end)
        if end in self._cuts and self._previous_seconds + seconds < FAST_SECONDS:
            self._cuts.remove(end)
            self._previous_seconds += seconds
        else:
            self._previous_seconds = seconds

    def note_timeout(self) -> None:
        """Divide the current piece, to read its parts; skip it if it cannot be divided."""
        begin, end = self.last(self._end)
        self._previous_seconds = float("inf")
        if not self.divide(begin, end):
            self._end = begin

    def divide(self, begin: int, end: int) -> bool:
        """Divide a piece, and return False if it is too small or there are too many."""
        cuts = [*self._cuts, *self._parts(begin, end)]
        if len(cuts) == len(self._cuts) or len(cuts) > CUTS_LIMIT:
            return False
        self._cuts = sorted(cuts)
        return True

    def _parts(self, begin: int, end: int) -> Iterable[int]:
        """Return the borders between the parts of a piece, none if it is too small."""
        if begin == 0 and self._newest is not None:
            length = self._newest
            while length < end:
                yield end - length
                length *= PARTS
            return
        length = (end - begin) // PARTS
        if length >= self._smallest:
            yield from (begin + number * length for number in range(1, PARTS))
