"""Where the inbox is searched for what was committed late: everything below the mark, in pieces.

While an old snapshot is held, every row that was taken stays as one that has to be looked at: all
below the mark may be millions of them. Pieces that take long are cut, neighbours that do not are
joined, and the pieces are remembered from round to round. Pure.
"""

from bisect import insort

from dispatcher.core.ids import TIME_SHIFT

ROUND_EVERY_SECONDS = 10.0
SLOW_SECONDS = 0.1
FAST_SECONDS = 0.02
"""Neighbours that take less together are joined."""
PARTS = 4
MOST_CUTS = 1_000
FIRST_PIECE = 60_000 << TIME_SHIFT
"""The ids of a minute: the newest piece of the first round, as nothing is known yet; each older piece
is four times as long."""


class Sweep:
    """One round after the other, from the oldest ids up to the mark. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._cuts: list[int] | None = None
        self._from = 0
        self._top = 0
        self._began = float("-inf")
        self._before = 0.0  # seconds that the piece before this one took

    @property
    def under_way(self) -> bool:
        return self._from < self._top

    def next(self, now: float, mark: int) -> tuple[int, int] | None:
        """Return the piece to search, above an id and up to another; None: nothing for now."""
        if not self.under_way:
            if now - self._began < ROUND_EVERY_SECONDS or mark <= 0:
                return None
            self._began, self._from, self._top, self._before = now, 0, mark, 0.0
            self._cuts = [
                cut for cut in (_grid(mark) if self._cuts is None else self._cuts) if cut < mark
            ]
        return self._from, self._end()

    def searched(self, seconds: float) -> None:
        """The piece was searched in that time."""
        begin, end = self._from, self._end()
        self._from = end
        if seconds > SLOW_SECONDS:
            self._cut(begin, end)
        if self._cuts and begin in self._cuts and self._before + seconds < FAST_SECONDS:
            self._cuts.remove(begin)
            self._before += seconds
        else:
            self._before = seconds

    def timed_out(self) -> None:
        """The piece was too much: it is searched again in parts, and passed over if it has none."""
        begin, end = self._from, self._end()
        self._before = 0.0
        if not self._cut(begin, end):
            self._from = end

    def _end(self) -> int:
        return next((cut for cut in self._cuts or () if cut > self._from), self._top)

    def _cut(self, begin: int, end: int) -> bool:
        part = (end - begin) // PARTS
        if self._cuts is None or part < 1 or len(self._cuts) >= MOST_CUTS:
            return False
        for number in range(1, PARTS):
            insort(self._cuts, begin + number * part)
        return True


def _grid(mark: int) -> list[int]:
    cuts: list[int] = []
    length = FIRST_PIECE
    while length < mark:
        cuts.append(mark - length)
        length *= PARTS
    return cuts[::-1]
