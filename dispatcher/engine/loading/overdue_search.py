"""Decide where the table is searched for overdue rows that memory does not know.

Rows that became due lately are searched often: those after the last border between pieces. Borders
are set when a search takes too long. The older rows follow in pieces, one at a time. Usually there
is one piece, and each search reads everything. Pure: times are arguments, those of rows in epoch
seconds by the database's clock, the others in monotonic seconds.
"""

from dataclasses import dataclass

from dispatcher.engine.borders import SLOW_SECONDS
from dispatcher.engine.loading.pieces import Pieces

EVERY_SECONDS = 15.0
"""Time between two searches of the newest piece, and between two rounds over the older ones."""
OLDER_SECONDS = 1.0
"""Shortest time between two older pieces."""
OLDER_PAUSE = 4.0
"""After an older piece, the pause is at least this many times as long as it took: other reads use
the same session."""
SMALLEST = 1_000
"""A millisecond: pieces are in microseconds."""
NEWEST = 60_000_000
"""A minute: the newest piece after the first search of everything was slow or timed out."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """The rows due from `low` on and before `before`; `begin` and `end` are in microseconds."""

    begin: int
    end: int
    is_newest: bool

    @property
    def low(self) -> float:
        """Return the due time from which to search, minus infinity for the oldest part."""
        return self.begin / MICROSECONDS if self.begin else float("-inf")

    @property
    def before(self) -> float:
        """Return the due time before which to search."""
        return self.end / MICROSECONDS


class OverdueSearch:
    """The parts of the table to search, one after another."""

    def __init__(self) -> None:
        self._pieces = Pieces(smallest=SMALLEST, newest=NEWEST)
        self._part: Part | None = None
        self._seconds = 0.0
        self._was_newest = False
        self._newest_at = float("-inf")
        self._newest_seconds = float("inf")
        self._older_from = float("-inf")
        self._round_at = float("-inf")

    def next_part(self, now: float, before: float) -> Part | None:
        """Return the part to search at `now`, None if none is due.

        Rows due at or after `before` are not overdue. A part stays until it is read completely.
        """
        if self._part is None:
            self._seconds = 0.0
            self._part = self._next(now, int(before * MICROSECONDS))
        return self._part

    def note_read(self, now: float, seconds: float, *, has_more: bool) -> None:
        """Note that a statement took `seconds`; if `has_more`, it did not read all of the part."""
        self._seconds = max(self._seconds, seconds)  # the longest: more rows take more statements
        part = self._part
        if part is None or has_more:
            return
        self._part = None
        if part.is_newest:
            self._newest_at, self._newest_seconds = now, self._seconds
            if part.begin == 0:  # everything is read
                self._round_at = now
            if self._seconds > SLOW_SECONDS:
                self._pieces.divide(part.begin, part.end)
            return
        self._pieces.note_read(self._seconds)
        self._pause(now)

    def note_timeout(self, now: float, seconds: float) -> None:
        """Note that a statement timed out after `seconds`; its part is divided, or else skipped."""
        self._seconds = seconds
        part, self._part = self._part, None
        if part is None:
            return
        if not part.is_newest:
            self._pieces.note_timeout()
        elif not self._pieces.divide(part.begin, part.end):
            self._newest_at, self._newest_seconds = now, self._seconds
        self._pause(now)

    def _pause(self, now: float) -> None:
        self._older_from = now + max(OLDER_SECONDS, self._seconds * OLDER_PAUSE)

    def _next(self, now: float, before: int) -> Part | None:
        older = self._next_older(now, before)
        is_newest_due = now - self._newest_at >= EVERY_SECONDS
        # In turns: when searches take long, the newest piece may always be due.
        self._was_newest = is_newest_due and not (older and self._was_newest)
        return Part(*self._pieces.last(before), is_newest=True) if self._was_newest else older

    def _next_older(self, now: float, before: int) -> Part | None:
        if now < self._older_from:
            return None
        if self._pieces.current is None:
            border, _ = self._pieces.last(before)
            if not border or now - self._round_at < EVERY_SECONDS:
                return None
            self._round_at = now
            self._pieces.begin(border, self._newest_seconds)
        piece = self._pieces.current
        return None if piece is None else Part(*piece, is_newest=False)
