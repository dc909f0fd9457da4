"""Decide whose events are next, so that no environment waits for another's flood.

The first statement takes the oldest events of all environments. If it cannot take all of them, the
next statement excludes the environments with the largest part, and so on, until one statement takes
all that is left. Then all environments are next again. The events of an environment keep their
order. Pure: times are arguments, in monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dispatcher.core.ids import LARGEST_ID

REREAD_SECONDS = 1.0
"""Seconds until the inbox is read from its start again, for events that were committed late behind
a flood. In between, each read continues where the last one stopped. Otherwise each read would pass
all the rows of taken events again, which an old snapshot somewhere keeps in the table."""

SliceKind = Literal["usual", "search", "found"]
"""`search`: the slice is below the mark, and is only searched for late commits. `found`: an event
was found in it by a search, or was isolated. `usual`: any other slice."""


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
        self._excluded: tuple[str, ...] = ()
        # For each list of excluded environments: the id up to which nothing is left to take.
        self._reached: dict[tuple[str, ...], int] = {}
        self._reread_at = float("-inf")
        self._oversized: set[tuple[str, ...]] = set()

    @property
    def reached(self) -> int | None:
        """Return the id up to which the events of all environments are taken, None if unknown."""
        return self._reached.get(())

    def next_slice(self, now: float, start_id: int = 0) -> Slice:
        """Return the part that the next statement takes.

        It begins above `start_id`, unless an earlier statement has got further.
        """
        if now - self._reread_at >= REREAD_SECONDS:
            self._reread_at = now
            self._reached.clear()
        if not self._excluded:
            self._start_id = start_id
        after_id = self._reached.get(self._excluded, self._start_id)
        return Slice(self._excluded, after_id, is_oversized=self._excluded in self._oversized)

    def note_taken(
        self, slice_: Slice, *, last_id: int | None, more: bool, crowding: Iterable[str]
    ) -> None:
        """Note that a statement took the events of a slice up to `last_id`; None: there were none.

        For `more` and `crowding`, see `exclude`.
        """
        if not slice_.excluded_environments and not more:
            self.forget_reached(slice_)
        elif last_id is not None:
            self.note_reached(slice_, max(slice_.after_id, last_id))
        self.exclude(slice_, more=more, crowding=crowding)

    def exclude(self, slice_: Slice, *, more: bool, crowding: Iterable[str]) -> None:
        """Choose the environments that the next slice excludes.

        `more` is True if this slice has more events. Then the next one excludes the environments
        of `crowding` too, which had the largest part in this one. Otherwise all are next again.
        """
        added = sorted(set(crowding) - set(slice_.excluded_environments)) if more else ()
        self._excluded = (*slice_.excluded_environments, *added) if added else ()

    def exclude_none(self) -> None:
        """Let the next slice have the events of all environments."""
        self._excluded = ()

    def note_reached(self, slice_: Slice, up_to_id: int) -> None:
        """Note that nothing is left to take for the environments of the slice up to this id."""
        self._reached[slice_.excluded_environments] = up_to_id

    def forget_reached(self, slice_: Slice) -> None:
        """Let the environments of the slice be read from the start again."""
        self._reached.pop(slice_.excluded_environments, None)

    def forget_all_reached(self) -> None:
        """Let all environments be read from the start again."""
        self._reached.clear()

    def mark_oversized(self, slice_: Slice) -> None:
        """Note that the first event of the slice is too large for one statement."""
        self._oversized.add(slice_.excluded_environments)

    def finish_oversized(self, slice_: Slice) -> None:
        """Note that the oversized event of the slice has all its deliveries."""
        self._oversized.discard(slice_.excluded_environments)
