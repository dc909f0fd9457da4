"""Decide where the inbox is searched for late commits: everything below the mark, in pieces.

While an old snapshot is in use, the rows of taken events stay in the table, and a search has to
pass them: below the mark there may be millions. A piece that takes long is divided, neighbours that
are fast are joined, and the pieces are kept from round to round. Pure: times are arguments.
"""

from bisect import insort

from dispatcher.core.ids import TIME_SHIFT

ROUND_EVERY_SECONDS = 10.0
"""Seconds between the starts of two rounds: a late commit waits about this long."""
SLOW_SECONDS = 0.1
"""A piece that takes longer is divided."""
FAST_SECONDS = 0.02
"""Neighbours that take less together are joined."""
PARTS = 4
"""The parts of a piece that is divided."""
CUTS_LIMIT = 1_000
"""Most borders between pieces, so that memory stays small."""
FIRST_PIECE = 60_000 << TIME_SHIFT
"""The ids of a minute: the newest piece of the first round. Each older piece is four times as long.
Nothing is known yet then, and late commits are mostly recent."""


class Sweep:
    """One round after the other, from the oldest ids up to the mark; times in monotonic seconds."""

    def __init__(self) -> None:
        self._cuts: list[int] | None = None
        self._from = 0
        self._top = 0
        self._began = float("-inf")
        self._previous_seconds = 0.0

    @property
    def is_under_way(self) -> bool:
        """Return True while a round is not finished."""
        return self._from < self._top

    def next(self, now: float, mark: int) -> tuple[int, int] | None:
        """Return the next piece to search: above the first id and up to the second.

        Return None if no round is due.
        """
        if not self.is_under_way:
            if now - self._began < ROUND_EVERY_SECONDS or mark <= 0:
                return None
            self._began, self._from, self._top, self._previous_seconds = now, 0, mark, 0.0
            cuts = _first_cuts(mark) if self._cuts is None else self._cuts
            self._cuts = [cut for cut in cuts if cut < mark]
        return self._from, self._end()

    def note_searched(self, seconds: float) -> None:
        """Note that the current piece was searched in `seconds`, and go on to the next."""
        begin, end = self._from, self._end()
        self._from = end
        if seconds > SLOW_SECONDS:
            self._divide(begin, end)
        if self._cuts and begin in self._cuts and self._previous_seconds + seconds < FAST_SECONDS:
            self._cuts.remove(begin)
            self._previous_seconds += seconds
        else:
            self._previous_seconds = seconds

    def note_timeout(self) -> None:
        """Divide the current piece, to search its parts; skip it if it cannot be divided."""
        begin, end = self._from, self._end()
        self._previous_seconds = 0.0
        if not self._divide(begin, end):
            self._from = end

    def _end(self) -> int:
        return next((cut for cut in self._cuts or () if cut > self._from), self._top)

    def _divide(self, begin: int, end: int) -> bool:
        length = (end - begin) // PARTS
        if self._cuts is None or length < 1 or len(self._cuts) >= CUTS_LIMIT:
            return False
        for number in range(1, PARTS):
            insort(self._cuts, begin + number * length)
        return True


def _first_cuts(mark: int) -> list[int]:
    cuts: list[int] = []
    length = FIRST_PIECE
    while length < mark:
        cuts.append(mark - length)
        length *= PARTS
    return cuts[::-1]
