"""Decide which events are fanned out next, so that no environment waits for another's flood.

The first statement takes the oldest events of all environments. If it cannot take all of them, the
next statement excludes the environments with the largest part, and so on, until one statement takes
all that is left. Then all environments are next again. The events of an environment keep their
order. Pure: times are arguments, in monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dispatcher.core.ids import LARGEST_ID
from dispatcher.engine.fanout.inbox_mark import InboxMark
from dispatcher.engine.fanout.inbox_sweep import Sweep

REREAD_SECONDS = 1.0
"""Seconds until the inbox is read from the mark again, for events that were committed late behind a
flood. In between, each read continues where the last one stopped. Otherwise each read would pass
all the rows of taken events again, which an old snapshot somewhere keeps in the table."""
LOOKUP_DIVISOR = 16
"""A lookup of the first event that times out is repeated over this part of its ids."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the inbox: ids above `after_id` and up to `up_to_id`.

    The events of `excluded_environments` do not belong to it. `oversized`: the first event alone
    has more endpoints than one statement may make deliveries for. `only_search`: the slice is below
    the mark, and is only searched for late commits. `found_by_search`: a search found an event in
    it.
    """

    excluded_environments: tuple[str, ...]
    after_id: int
    oversized: bool = False
    up_to_id: int = LARGEST_ID
    only_search: bool = False
    found_by_search: bool = False

    @property
    def is_one_event(self) -> bool:
        """Return True if the slice has room for one event only."""
        return self.up_to_id == self.after_id + 1

    @property
    def is_for_all(self) -> bool:
        """Return True if the slice is above the mark and excludes no environment."""
        return not (self.excluded_environments or self.only_search or self.found_by_search)


class FanoutFairness:
    """The order of the slices."""

    def __init__(self) -> None:
        self._mark = InboxMark()
        self._sweep = Sweep()
        self._empty_up_to = 0
        self._lookup_length = LARGEST_ID
        self._found: Slice | None = None
        self._was_search = False
        self._start_id = 0
        self._excluded: tuple[str, ...] = ()
        # For each list of excluded environments: the inbox id up to which nothing is left to take.
        self._reached: dict[tuple[str, ...], int] = {}
        self._reread_at = float("-inf")
        self._oversized: set[tuple[str, ...]] = set()

    @property
    def read_after(self) -> int:
        """Return the id above which events of all environments are read next.

        During a flood it is where the last statement stopped. Otherwise the backstop would pass all
        the rows of taken events.
        """
        return self._reached.get((), self._first_id)

    @property
    def is_searching(self) -> bool:
        """Return True while a search below the mark, or the taking of its result, is under way."""
        return self._sweep.is_under_way or self._found is not None

    def next_slice(self, now: float) -> Slice:
        """Return the part of the inbox that the next statement takes."""
        if now - self._reread_at >= REREAD_SECONDS:
            self._reread_at = now
            self._reached.clear()
        if not self._excluded:
            self._start_id = self._first_id
            if self._found is not None:
                return self._found
            if search := self._next_search(now):
                return search
        after_id = self._reached.get(self._excluded, self._start_id)
        return Slice(self._excluded, after_id, self._excluded in self._oversized)

    def note_taken(
        self, slice_: Slice, *, last_id: int | None, more: bool, crowding: Iterable[str], now: float
    ) -> None:
        """Note that a statement took the events of a slice up to `last_id`; None: there were none.

        `more` is True if the slice has more events. Then the next slice excludes the environments
        of `crowding` too, which had the largest part in this one.
        """
        if slice_.found_by_search:
            self._continue_found(last_id, more=more)
        else:
            if not slice_.excluded_environments:
                self._mark.note_taken(last_id, now)
            if not slice_.excluded_environments and not more:
                self._reached.pop((), None)
            elif last_id is not None:
                self._reached[slice_.excluded_environments] = max(slice_.after_id, last_id)
        added = sorted(set(crowding) - set(slice_.excluded_environments)) if more else ()
        self._excluded = (*slice_.excluded_environments, *added) if added else ()

    def isolate(self, event: int) -> None:
        """Make the event with this inbox id alone the next slice."""
        self._excluded = ()
        self._found = Slice((), event - 1, up_to_id=event, found_by_search=True)

    # An event with too many endpoints for one statement

    def mark_oversized(self, slice_: Slice) -> None:
        """Note that the first event of the slice is too large for one statement."""
        if slice_.found_by_search:
            self._found = replace(slice_, oversized=True)
        else:
            self._oversized.add(slice_.excluded_environments)

    def finish_oversized(self, slice_: Slice) -> None:
        """Note that the oversized event of the slice has all its deliveries."""
        if slice_.found_by_search:
            self._found = replace(slice_, oversized=False)
        else:
            self._oversized.discard(slice_.excluded_environments)

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
        self._reached.clear()
        self._mark.forget()

    def note_search(self, slice_: Slice, first: int | None, seconds: float) -> None:
        """Note that a search took `seconds`; `first` is the first event found, None if none."""
        self._sweep.searched(seconds)
        if first is not None:
            self._found = Slice((), first - 1, up_to_id=slice_.up_to_id, found_by_search=True)

    def note_search_timeout(self) -> None:
        """Note that a search timed out; its part of the inbox is divided."""
        self._sweep.timed_out()

    # The lookup of the first event of a slice, after a statement timed out

    def lookup_limit(self, slice_: Slice) -> int:
        """Return the id up to which the first event of the slice is to be looked up."""
        return min(slice_.up_to_id, slice_.after_id + self._lookup_length)

    def note_lookup_timeout(self) -> None:
        """Note that a lookup timed out; the next one reads fewer ids."""
        self._lookup_length = max(1, self._lookup_length // LOOKUP_DIVISOR)

    def note_empty(self, slice_: Slice, up_to_id: int) -> None:
        """Note that the slice has no event up to this id."""
        self._lookup_length = min(LARGEST_ID, self._lookup_length * 2)
        if slice_.found_by_search:
            left = up_to_id < slice_.up_to_id
            self._found = replace(slice_, after_id=up_to_id) if left else None
        elif slice_.excluded_environments:
            self._reached[slice_.excluded_environments] = up_to_id
        else:
            self._empty_up_to = max(self._empty_up_to, up_to_id)
            self._reached.pop((), None)

    @property
    def _first_id(self) -> int:
        return max(self._mark.after_id, self._empty_up_to)

    def _next_search(self, now: float) -> Slice | None:
        """Return a slice to search, if one is due; never two in succession."""
        self._was_search = not self._was_search
        piece = self._sweep.next(now, self._start_id) if self._was_search else None
        return None if piece is None else Slice((), piece[0], up_to_id=piece[1], only_search=True)

    def _continue_found(self, last_id: int | None, *, more: bool) -> None:
        if self._found is None:
            return
        after_id = self._found.after_id if last_id is None else max(self._found.after_id, last_id)
        more = more and after_id < self._found.up_to_id
        self._found = replace(self._found, after_id=after_id) if more else None
