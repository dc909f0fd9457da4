"""Decide where the inbox is searched for late commits: everything below the mark, in pieces.

Pure: times are arguments.
"""

from dispatcher.core.ids import TIME_SHIFT
from dispatcher.engine.borders import Borders

ROUND_EVERY_SECONDS = 10.0
"""Shortest time between the starts of two rounds. A late commit usually waits no longer."""
FIRST_PIECE = 60_000 << TIME_SHIFT
"""The ids of a minute: the newest piece of the first round. Nothing is known yet then, and late
commits are mostly recent."""


class Sweep:
    """One round after the other, from the oldest ids up to the mark; times in monotonic seconds."""

    def __init__(self) -> None:
        self._borders = Borders(smallest=1, newest=FIRST_PIECE)
        self._from = 0
        self._top = 0
        self._began = float("-inf")

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
            if self._top == 0:  # the first round
                self._borders.divide(0, mark)
            self._borders.begin_round(mark)
            self._began, self._from, self._top = now, 0, mark
        return self._piece()

    def note_searched(self, seconds: float) -> None:
        """Note that the current piece was searched in `seconds`, and go on to the next."""
        begin, end = self._piece()
        self._from = end
        self._borders.note_read(begin, end, seconds, previous=begin)

    def note_timeout(self) -> None:
        """Divide the current piece, to search its parts; skip it if it cannot be divided."""
        begin, end = self._piece()
        if not self._borders.note_timeout(begin, end):
            self._from = end

    def _piece(self) -> tuple[int, int]:
        return self._from, self._borders.above(self._from, self._top)
