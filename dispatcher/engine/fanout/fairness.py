"""Decide whose events are next, so that no environment waits for another's flood.

The first statement takes the oldest events of all environments. If it cannot take all of them, the
next statement excludes the environments with the largest parts, and so on, until one statement
takes all that is left. Then a statement for all environments is next again.

A statement with excluded environments reads a limited part of the inbox, which may have events of
the flood only. Then comes a look at the newest events, but not of environments that have an ordered
endpoint: their events keep their order. After that, a statement for all environments is next again.
The next statement with the same excluded environments reads on where the last one ended. What was
passed is read again in pieces, for events that were committed late. Pure: times are arguments, in
monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dispatcher.core.ids import LARGEST_ID, TIME_SHIFT
from dispatcher.engine.fanout.reread import REREAD_SECONDS, REST_FACTOR, Reread, Rest

LISTS_LIMIT = 1_000
"""Most lists of excluded environments whose passed ids are remembered, so that memory stays
small."""

EXCLUDED_LIMIT = 1_000
"""Most environments that a statement excludes. With more floods, the next one excludes none."""
ORDERED_ENVIRONMENTS = ""
"""Among excluded environments: all those that have an ordered endpoint when the statement runs."""
PASS_REST_FACTOR = 1.0
"""A flood is passed for half of the time at most. The other half is for its events."""
NEWEST_IDS = 100 << TIME_SHIFT
"""The ids of 100 ms: the first look at the newest events begins this far below the highest id."""

SliceKind = Literal["usual", "reread", "search", "found"]
"""`reread`: the slice was passed before, and is read again for late commits. `search`: the slice is
below the mark, and is only searched for late commits. `found`: an event was found in it by a
search, or was isolated. `usual`: any other slice."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the inbox: ids above `after_id` and up to `up_to_id`.

    The events of `excluded_environments` do not belong to it. `is_oversized`: the first event alone
    has more endpoints than one statement may make deliveries for.
    """

    excluded_environments: tuple[str, ...]
    after_id: int
    up_to_id: int = LARGEST_ID
    kind: SliceKind = "usual"
    is_oversized: bool = False

    @property
    def is_one_event(self) -> bool:
        """Return True if the slice has room for one event only."""
        return self.up_to_id == self.after_id + 1

    @property
    def is_for_all(self) -> bool:
        """Return True if the slice is above the mark and excludes no environment."""
        return self.kind == "usual" and not self.excluded_environments


class FairOrder:
    """The order in which the events of environments are taken."""

    def __init__(self) -> None:
        self._start_id = 0
        self._newest = 0
        self._excluded: tuple[str, ...] = ()
        # For each list of excluded environments: the id up to which nothing is left to take, and
        # what is read again of it.
        self._reached: dict[tuple[str, ...], int] = {}
        self._rereads: dict[tuple[str, ...], Reread] = {}
        self._reread_at = float("-inf")
        self._was_reread = False
        self._reread_rest = Rest(REST_FACTOR)
        # The lists whose last statement read only a part, and when the next part may be read.
        self._partly_passed: set[tuple[str, ...]] = set()
        self._pass_rest = Rest(PASS_REST_FACTOR)
        self._oversized: set[tuple[tuple[str, ...], SliceKind]] = set()

    @property
    def reached(self) -> int | None:
        """Return the id up to which the events of all environments are taken, None if unknown."""
        return self._reached.get(())

    def next_slice(self, now: float, start_id: int = 0) -> Slice:
        """Return the part that the next statement takes.

        It begins above `start_id`, unless an earlier statement has got further.
        """
        may_reread, may_pass = self._reread_rest.is_over(now), self._pass_rest.is_over(now)
        if self._excluded:
            reread = self._next_reread(now, may_reread and not self._was_reread)
            self._was_reread = reread is not None
            return reread or self._next_others(now, may_pass)
        self._start_id = start_id
        if may_reread and now - self._reread_at >= REREAD_SECONDS:
            self._reread_at = now
            if self._reached.pop((), None) is not None:
                self._reread_rest.note_begin(now)
        return self._slice(self._reached.get((), start_id))

    def note_taken(
        self,
        slice_: Slice,
        *,
        last_id: int | None,
        more: bool,
        crowding: Iterable[str],
        newest: int | None = None,
        is_unordered: bool = False,
    ) -> None:
        """Note that a statement took the events of a slice up to `last_id`; None: there were none.

        For `more` and `crowding`, see `exclude`. `newest` is the highest id of the inbox, None if
        unknown. `is_unordered`: events of environments with ordered endpoints were passed over.
        """
        excluded = slice_.excluded_environments
        # Otherwise, if `is_unordered`, later events would come before those that were passed over.
        is_passed = last_id is not None and not is_unordered
        if slice_.kind == "reread":
            if is_passed or (last_id is None and not more):
                self._note_reread(slice_, last_id)
            if more:  # with many late commits, go on without a rest, in turns with other slices
                self._reread_rest.forget_begin()
        elif not excluded and not more:
            self.forget_all_reached()
        elif last_id is not None and is_passed:
            self.note_reached(slice_, max(slice_.after_id, last_id))
        self.exclude(slice_, more=more, crowding=crowding)
        if excluded and not more:
            self._note_end(slice_, None if is_unordered else last_id, newest)

    def exclude(self, slice_: Slice, *, more: bool, crowding: Iterable[str]) -> None:
        """Choose the environments that the next slice excludes.

        `more` is True if this slice has more events. Then the next one excludes the environments
        of `crowding` too, which had the largest parts in this one. No environment is excluded if
        `more` is False, if `crowding` adds none, or if more than EXCLUDED_LIMIT would be excluded.
        """
        before = slice_.excluded_environments
        excluded = _as_list(*before, *crowding) if more else ()
        self._excluded = excluded if len(before) < len(excluded) <= EXCLUDED_LIMIT else ()

    def exclude_none(self) -> None:
        """Let the next slice have the events of all environments."""
        self._excluded = ()

    def note_reached(self, slice_: Slice, up_to_id: int) -> None:
        """Note that nothing is left to take for the environments of the slice up to this id."""
        if slice_.kind == "reread":
            self._note_reread(slice_, up_to_id)
            return
        if len(self._reached) >= LISTS_LIMIT:
            self.forget_all_reached()
        self._reached[slice_.excluded_environments] = up_to_id

    def forget_reached(self, slice_: Slice) -> None:
        """Let the environments of the slice be read from the start again."""
        self._reached.pop(slice_.excluded_environments, None)

    def forget_all_reached(self) -> None:
        """Let all environments be read from the start again."""
        self._reached.clear()
        self._rereads.clear()
        self._partly_passed.clear()

    def mark_oversized(self, slice_: Slice) -> None:
        """Note that the first event of the slice is too large for one statement."""
        self._oversized.add((slice_.excluded_environments, slice_.kind))

    def finish_oversized(self, slice_: Slice) -> None:
        """Note that the oversized event of the slice has all its deliveries."""
        self._oversized.discard((slice_.excluded_environments, slice_.kind))

    def _slice(self, after_id: int) -> Slice:
        is_oversized = (self._excluded, "usual") in self._oversized
        return Slice(self._excluded, after_id, is_oversized=is_oversized)

    def _passed(self, excluded: tuple[str, ...]) -> int:
        """Return the id up to which only events of the excluded environments are left to take.

        What was reached with only some of these excluded counts too. Environments without ordered
        endpoints need no order: their older events may be taken after the newest ones.
        """
        environments = set(excluded)
        known = max(
            (
                up_to_id
                for others, up_to_id in self._reached.items()
                if others and environments.issuperset(others)
            ),
            default=self._start_id,
        )
        if ORDERED_ENVIRONMENTS in environments and excluded not in self._reached:
            return max(known, self._newest - NEWEST_IDS)
        return known

    def _note_end(self, slice_: Slice, last_id: int | None, newest: int | None) -> None:
        """Note that nothing is left in a slice with excluded environments up to `last_id`."""
        excluded = slice_.excluded_environments
        if slice_.kind == "reread":
            self._excluded = excluded  # new events of the others are next, as without the reread
        elif newest is not None:
            self._newest = newest
            if last_id is not None and last_id >= newest:
                self._partly_passed.discard(excluded)
            elif ORDERED_ENVIRONMENTS not in excluded:
                self._partly_passed.add(excluded)
                self._excluded = _as_list(*excluded, ORDERED_ENVIRONMENTS)

    def _next_others(self, now: float, may_pass: bool) -> Slice:
        """Return the slice without the excluded environments."""
        if self._excluded in self._partly_passed:
            if may_pass:
                self._pass_rest.note_begin(now)
            else:
                self._excluded = _as_list(*self._excluded, ORDERED_ENVIRONMENTS)
        return self._slice(self._passed(self._excluded))

    def _next_reread(self, now: float, may_reread: bool) -> Slice | None:
        """Return the slice that is read again now, None if none is."""
        reread, key = self._rereads.get(self._excluded), (self._excluded, "reread")
        if reread is not None and key in self._oversized:
            return Slice(self._excluded, *reread.current, "reread", is_oversized=True)
        if not may_reread or self._excluded not in self._reached:
            return None
        reread = self._rereads.setdefault(self._excluded, Reread(now))
        piece = reread.next(now, self._start_id, self._reached[self._excluded])
        if piece is None:
            return None
        self._reread_rest.note_begin(now)
        return Slice(self._excluded, *piece, "reread")

    def _note_reread(self, slice_: Slice, up_to_id: int | None) -> None:
        if reread := self._rereads.get(slice_.excluded_environments):
            reread.note_read(up_to_id)


def _as_list(*environments: str) -> tuple[str, ...]:
    """Return the environments as a list of excluded ones: sorted, and each once.

    Otherwise what is remembered for a list would not be found under another order of it.
    """
    return tuple(sorted(set(environments)))
