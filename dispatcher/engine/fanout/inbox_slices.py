"""Decide which part of the inbox is fanned out next.

Usually it is what the fair order says, above the mark of the inbox. In between, the inbox is
searched below the mark for late commits, and what a search finds comes first. After a statement
that timed out, the first event of its slice is looked up. Pure: times are arguments, in monotonic
seconds.
"""

from collections.abc import Iterable
from dataclasses import replace

from dispatcher.core.ids import LARGEST_ID, TIME_SHIFT
from dispatcher.engine.fanout.fairness import FairOrder, Slice
from dispatcher.engine.fanout.inbox_mark import InboxMark
from dispatcher.engine.fanout.inbox_sweep import Sweep

LOOKUP_DIVISOR = 16
"""After a lookup of the first event times out, the next reads its ids divided by this number."""
LONG_LOOKUP = 1_800_000 << TIME_SHIFT
"""The ids of half an hour. A lookup of more ids that times out counts as one of these, and the next
one reads a part of them. Otherwise the divisions would begin with the ids of the far future."""


class InboxSlices:
    """The slices of the inbox, one after another."""

    def __init__(self) -> None:
        self._order = FairOrder()
        self._mark = InboxMark()
        self._sweep = Sweep()
        self._empty_up_to = 0
        self._lookup_length = LARGEST_ID
        self._found: Slice | None = None
        self._was_search = False

    @property
    def read_after(self) -> int:
        """Return the id above which events of all environments are read next.

        During a flood it is where the last statement stopped. Otherwise the backstop would pass all
        the rows of taken events.
        """
        reached = self._order.reached
        return self._first_id if reached is None else reached

    @property
    def is_searching(self) -> bool:
        """Return True while a search below the mark, or the taking of its result, is under way."""
        return self._sweep.is_under_way or self._found is not None

    def next_slice(self, now: float) -> Slice:
        """Return the part of the inbox that the next statement takes."""
        slice_ = self._order.next_slice(now, self._first_id)
        if slice_.excluded_environments:
            return slice_
        return self._found or self._next_search(now) or slice_

    def note_taken(
        self,
        slice_: Slice,
        *,
        last_id: int | None,
        more: bool,
        crowding: Iterable[str],
        now: float,
        newest: int | None = None,
        is_unordered: bool = False,
    ) -> None:
        """Note that a statement took the events of a slice up to `last_id`; None: there were none.

        For the other arguments, see FairOrder.note_taken.
        """
        if slice_.kind == "found":
            self._continue_found(last_id, more=more)
            self._order.exclude(slice_, more=more, crowding=crowding)
            return
        if not slice_.excluded_environments:
            self._mark.note_taken(last_id, now)
        self._order.note_taken(
            slice_,
            last_id=last_id,
            more=more,
            crowding=crowding,
            newest=newest,
            is_unordered=is_unordered,
        )

    def isolate(self, event: int) -> None:
        """Make the event with this inbox id alone the next slice."""
        self._order.exclude_none()
        self._found = Slice((), event - 1, event, "found")

    # An event with too many endpoints for one statement

    def mark_oversized(self, slice_: Slice) -> None:
        """Note that the first event of the slice is too large for one statement."""
        if slice_.kind == "found":
            self._found = replace(slice_, is_oversized=True)
        else:
            self._order.mark_oversized(slice_)

    def finish_oversized(self, slice_: Slice) -> None:
        """Note that the oversized event of the slice has all its deliveries."""
        if slice_.kind == "found":
            self._found = replace(slice_, is_oversized=False)
        else:
            self._order.finish_oversized(slice_)

    # The mark, and the search for late commits below it

    @property
    def knows_mark(self) -> bool:
        """Return True if the mark was moved or read since the start."""
        return self._mark.is_known

    def mark_due(self, now: float) -> tuple[int, int] | None:
        """Return what to raise the mark to, if it is to be moved or read now; otherwise None.

        The result is the id up to which events were taken, and the id up to which none is left.
        """
        taken = self._mark.due(now, self._empty_up_to)
        return None if taken is None else (taken, self._empty_up_to)

    def note_mark(self, mark: int) -> None:
        """Note where the mark is in the database."""
        if mark < self._mark.after_id:  # the clock was set back
            self._empty_up_to = 0
        self._mark.note(mark)

    def note_set_back(self) -> None:
        """Note that the database's clock was set back, so that the mark is to be read at once."""
        self._empty_up_to = 0
        self._order.forget_all_reached()
        self._mark.forget()

    def note_search(self, slice_: Slice, first: int | None, seconds: float) -> None:
        """Note that a search took `seconds`; `first` is the first event found, None if none."""
        self._sweep.note_searched(seconds)
        if first is not None:
            self._found = Slice((), first - 1, slice_.up_to_id, "found")

    def note_search_timeout(self) -> None:
        """Note that a search timed out; its part of the inbox is divided."""
        self._sweep.note_timeout()

    # The lookup of the first event of a slice, after a statement timed out

    def lookup_limit(self, slice_: Slice) -> int:
        """Return the id up to which the first event of the slice is to be looked up."""
        return min(slice_.up_to_id, slice_.after_id + self._lookup_length)

    def note_lookup_timeout(self) -> None:
        """Note that a lookup timed out; the next one reads fewer ids."""
        self._lookup_length = max(1, min(self._lookup_length, LONG_LOOKUP) // LOOKUP_DIVISOR)

    def note_empty(self, slice_: Slice, up_to_id: int) -> None:
        """Note that the slice has no event up to this id."""
        self._lookup_length = min(LARGEST_ID, self._lookup_length * 2)
        if slice_.kind == "found":
            left = up_to_id < slice_.up_to_id
            self._found = replace(slice_, after_id=up_to_id) if left else None
        elif slice_.excluded_environments:
            self._order.note_reached(slice_, up_to_id)
        else:
            if slice_.after_id <= self._first_id:  # else some before it may wait for a lock
                self._empty_up_to = max(self._empty_up_to, up_to_id)
            self._order.forget_reached(slice_)

    @property
    def _first_id(self) -> int:
        return max(self._mark.after_id, self._empty_up_to)

    def _next_search(self, now: float) -> Slice | None:
        """Return a slice to search, if one is due; never two in succession."""
        self._was_search = not self._was_search
        piece = self._sweep.next(now, self._first_id) if self._was_search else None
        return None if piece is None else Slice((), *piece, "search")

    def _continue_found(self, last_id: int | None, *, more: bool) -> None:
        if self._found is None:
            return
        after_id = self._found.after_id if last_id is None else max(self._found.after_id, last_id)
        more = more and after_id < self._found.up_to_id
        self._found = replace(self._found, after_id=after_id) if more else None
