"""Decide when the mark moves: the inbox id from which all daemons read the inbox.

Below the mark are only dead index entries and late commits. An id is drawn when its row is
inserted, and the row may be committed much later: so the mark follows the highest id that was taken
a minute ago. It is kept in the database, where a starting daemon finds it. Pure: times are
arguments, in monotonic seconds.
"""

from collections import deque

MARK_AGE_SECONDS = 60.0
"""The mark passes an id this long after it was taken: most transactions are committed by then."""
MARK_EVERY_SECONDS = 1.0
"""Seconds between two moves of the mark."""
MARK_READ_EVERY_SECONDS = 10.0
"""Seconds between two reads of a mark that does not move here, as other daemons may move it."""
TAKEN_EVERY_SECONDS = 1.0
"""Of the ids taken in this time, one is remembered, so that memory stays small."""


class InboxMark:
    """The mark, as this daemon knows it; `after_id` is the id above which the inbox is read."""

    def __init__(self) -> None:
        self._taken_at: deque[tuple[float, int]] = deque()
        self._old_enough = 0
        self._asked_at = float("-inf")
        self.after_id = 0

    @property
    def is_known(self) -> bool:
        """Return True if the mark was moved or read since the start."""
        return self._asked_at > float("-inf")

    def note_taken(self, highest: int | None, now: float) -> None:
        """Note that events up to this id were taken; None: no event was."""
        # Otherwise memory would grow while passes fail before they ask for the mark.
        self._forget_old(now)
        taken = self._taken_at
        if highest is not None and (not taken or now - taken[-1][0] >= TAKEN_EVERY_SECONDS):
            taken.append((now, highest))

    def due(self, now: float, empty_up_to: int = 0) -> int | None:
        """Return the id to raise the mark to, None if it is neither to be moved nor read now.

        `empty_up_to` is an id up to which the inbox has no event.
        """
        self._forget_old(now)
        target = max(self._old_enough, empty_up_to)
        pause = MARK_EVERY_SECONDS if target > self.after_id else MARK_READ_EVERY_SECONDS
        if now - self._asked_at < pause:
            return None
        self._asked_at = now
        return target

    def note(self, mark: int) -> None:
        """Note where the mark is in the database."""
        if mark < self.after_id:  # the clock was set back
            self._taken_at.clear()
            self._old_enough = 0
        self.after_id = mark

    def forget(self) -> None:
        """Forget the mark and the taken ids: the clock was set back, so later ids are lower.

        Otherwise the mark would be read again only after MARK_READ_EVERY_SECONDS, and the events
        below it would wait for that.
        """
        self._taken_at.clear()
        self._old_enough = 0
        self._asked_at = float("-inf")

    def _forget_old(self, now: float) -> None:
        """Forget the ids that are old enough; the mark may pass the highest of them."""
        while self._taken_at and self._taken_at[0][0] <= now - MARK_AGE_SECONDS:
            self._old_enough = max(self._old_enough, self._taken_at.popleft()[1])
