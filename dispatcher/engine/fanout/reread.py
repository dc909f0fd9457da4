"""Decide which of the passed ids are read again, for events that were committed late.

The statements for other environments do not read the passed events of a flood again: there may be
millions. These are read again in between, in pieces: the newest often, as late commits are mostly
recent, and all of them in rounds. Pure: times are arguments, in monotonic seconds.
"""

from dataclasses import dataclass

from dispatcher.core.ids import TIME_SHIFT

REREAD_SECONDS = 1.0
"""Shortest time between the starts of two rounds over the same ids."""
RECENT_IDS = 2_000 << TIME_SHIFT
"""The ids of two seconds: this many of the newest are read again in rounds of their own."""
REST_FACTOR = 10
"""After a piece was read again, the next one waits this many times as long as that took.
Otherwise a large backlog would be read all the time."""
COUNTED_LIMIT_SECONDS = 2.0
"""Most seconds that count for one piece: the loop may have waited in between."""


class Rest:
    """The time in which something is not done again: `factor` times as long as it took before."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._began: float | None = None
        self._until = float("-inf")

    def is_over(self, now: float) -> bool:
        """Return True if it may be done again. If it began before, it counts as ended now."""
        if self._began is not None:
            seconds = min(now - self._began, COUNTED_LIMIT_SECONDS)
            self._until, self._began = now + self._factor * seconds, None
        return now >= self._until

    def note_begin(self, now: float) -> None:
        """Note that it is done from now on, until the next call of `is_over`."""
        self._began = now

    def forget_begin(self) -> None:
        """Let it be done again at once."""
        self._began = None


@dataclass(slots=True)
class _Round:
    began: float
    after_id: int = 0
    up_to_id: int = 0

    @property
    def is_under_way(self) -> bool:
        return self.after_id < self.up_to_id

    def begin(self, now: float, after_id: int, up_to_id: int) -> None:
        self.began, self.after_id, self.up_to_id = now, after_id, up_to_id


class Reread:
    """Two kinds of rounds over the ids that were passed: the newest of them, and the others."""

    def __init__(self, now: float) -> None:
        self._now, self._next = _Round(now), _Round(now)
        self._recent = self._next

    def next(self, now: float, start_id: int, reached: int) -> tuple[int, int] | None:
        """Return what is read again next: above the first id and up to the second.

        Return None if no round is due. The ids above `start_id` and up to `reached` were passed.
        The two rounds take turns if both are due.
        """
        border = max(start_id, reached - RECENT_IDS)
        for _ in range(2):
            self._now, self._next = self._next, self._now
            round_ = self._now
            if not round_.is_under_way and now - round_.began >= REREAD_SECONDS:
                ends = (border, reached) if round_ is self._recent else (start_id, border)
                round_.begin(now, *ends)
            if round_.is_under_way:
                return round_.after_id, round_.up_to_id
        return None

    def note_read(self, up_to_id: int | None) -> None:
        """Note up to where the last piece was read; None: to its end."""
        self._now.after_id = self._now.up_to_id if up_to_id is None else up_to_id

    @property
    def current(self) -> tuple[int, int]:
        """Return the ends of the piece that was last returned, as it is now."""
        return self._now.after_id, self._now.up_to_id
