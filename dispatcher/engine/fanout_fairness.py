"""Decide which events are fanned out next, so that no environment waits for another's flood.

The first statement takes the oldest events of all environments. If it cannot take all of them, the
next statement excludes the environments with the largest part, and so on, until one statement takes
all that is left. Then all environments are next again. The events of an environment keep their
order. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dispatcher.core.ids import LARGEST
from dispatcher.engine.inbox_sweep import Sweep

WATERMARK_AGE = 60.0
MARK_EVERY_SECONDS = 1.0
MARK_READ_EVERY_SECONDS = 10.0
LOOK_AGAIN_EVERY = 1.0
"""Seconds after which what was committed late behind a flood is looked for. In between the inbox is read
on from where a statement stopped: while an old snapshot is in use somewhere, every event that was taken
leaves a row behind that would have to be looked at again."""
STRIDES = 16


@dataclass(frozen=True, slots=True)
class Turn:
    """Take events with inbox ids above `above` and up to `up_to`, but none of the environments `without`.

    `wide`: the first event alone has more endpoints than one statement may make deliveries for.
    `late`: only search this piece, which is below the mark. `detour`: events found by a search.
    """

    without: tuple[str, ...]
    above: int
    wide: bool = False
    up_to: int = LARGEST
    late: bool = False
    detour: bool = False

    @property
    def alone(self) -> bool:
        """Whether one event is all that can be taken."""
        return self.up_to == self.above + 1

    @property
    def everybodys(self) -> bool:
        return not (self.without or self.late or self.detour)


class Turns:
    """The order of the turns; times are monotonic seconds."""

    def __init__(self) -> None:
        self._watermark = Watermark()
        self._sweep = Sweep()
        self._clear = 0
        self._stride = LARGEST
        self._detour: Turn | None = None
        self._was_late = False
        self._bound = 0
        self._without: tuple[str, ...] = ()
        # For each list of excluded environments: the inbox id up to which nothing is left to take.
        self._reached: dict[tuple[str, ...], int] = {}
        self._looked_at = float("-inf")
        self._wide: set[tuple[str, ...]] = set()

    @property
    def searching(self) -> bool:
        """Whether a search below the mark, or what it found, is under way."""
        return self._sweep.under_way or self._detour is not None

    def next(self, now: float) -> Turn:
        """Return the part of the inbox that the next statement takes."""
        if now - self._looked_at >= LOOK_AGAIN_EVERY:
            self._looked_at = now
            self._reached.clear()
        if not self._without:
            self._bound = max(self._watermark.above, self._clear)
            if self._detour is not None:
                return self._detour
            if late := self._search(now):
                return late
        above = self._reached.get(self._without, self._bound)
        return Turn(self._without, above, self._without in self._wide)

    def _search(self, now: float) -> Turn | None:
        """A search, if one is due; never two in succession."""
        self._was_late = not self._was_late
        piece = self._sweep.next(now, self._bound) if self._was_late else None
        return None if piece is None else Turn((), piece[0], up_to=piece[1], late=True)

    def searched(self, turn: Turn, first: int | None, seconds: float) -> None:
        """A piece below the mark was searched in that time; `first` is what it has."""
        self._sweep.searched(seconds)
        if first is not None:
            self._detour = Turn((), first - 1, up_to=turn.up_to, detour=True)

    def search_timed_out(self) -> None:
        self._sweep.timed_out()

    def stretch(self, turn: Turn) -> int:
        """Up to which id the first event of a turn is looked for, after a timeout."""
        return min(turn.up_to, turn.above + self._stride)

    def stretch_timed_out(self) -> None:
        self._stride = max(1, self._stride // STRIDES)

    def pass_over(self, turn: Turn, up_to: int) -> None:
        """There is no event of this turn up to that id."""
        self._stride = min(LARGEST, self._stride * 2)
        if turn.detour:
            self._detour = replace(turn, above=up_to) if up_to < turn.up_to else None
        elif turn.without:
            self._reached[turn.without] = up_to
        else:
            self._clear = max(self._clear, up_to)
            self._reached.pop((), None)

    def isolate(self, event: int) -> None:
        """Next is the turn of this event alone."""
        self._without = ()
        self._detour = Turn((), event - 1, up_to=event, detour=True)

    def mark_due(self, now: float) -> tuple[int, int] | None:
        """Return up to where events were taken, and where none is left, if the mark is to be moved or
        read."""
        taken = self._watermark.due(now, self._clear)
        return None if taken is None else (taken, self._clear)

    def marked(self, mark: int) -> None:
        """The mark is there now."""
        if mark < self._watermark.above:  # the clock was set back
            self._clear = 0
        self._watermark.marked(mark)

    def widen(self, turn: Turn) -> None:
        """The first event of this turn is too much for one statement."""
        if turn.detour:
            self._detour = replace(turn, wide=True)
        else:
            self._wide.add(turn.without)

    def took(
        self, turn: Turn, *, last: int | None, more: bool, crowding: Iterable[str], now: float
    ) -> None:
        """A statement took events up to the inbox id `last`. If there are `more` of this turn,
        `crowding` are the environments that had the greater part in it."""
        if turn.detour:
            self._went_on(last, more=more)
        else:
            if not turn.without:
                self._watermark.seen(last, now)
            if not turn.without and not more:
                self._reached.pop((), None)
            elif last is not None:
                self._reached[turn.without] = max(turn.above, last)
        added = tuple(sorted(set(crowding) - set(turn.without))) if more else ()
        self._without = turn.without + added if added else ()

    def _went_on(self, last: int | None, *, more: bool) -> None:
        if self._detour is None:
            return
        above = self._detour.above if last is None else max(self._detour.above, last)
        more = more and above < self._detour.up_to
        self._detour = replace(self._detour, above=above) if more else None

    def done(self, turn: Turn) -> None:
        """The wide event of this turn has all its deliveries."""
        if turn.detour:
            self._detour = replace(turn, wide=False)
        else:
            self._wide.discard(turn.without)


class Watermark:
    """The inbox id where reading starts: below it are dead index entries and late commits only.

    An id is drawn when its row is inserted, and may be committed much later: so the bound is the
    highest id taken a minute ago. It is kept in the database, where a daemon that starts finds it.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []
        self._taken = 0
        self._asked_at = float("-inf")
        self.above = 0

    def seen(self, highest: int | None, now: float) -> None:
        """Events up to this id were taken."""
        if highest is not None and (not self._seen or now - self._seen[-1][0] >= 1.0):
            self._seen.append((now, highest))

    def due(self, now: float, clear: int = 0) -> int | None:
        """Return the id to raise the mark to, if it is to be moved, or read again."""
        while self._seen and self._seen[0][0] <= now - WATERMARK_AGE:
            self._taken = max(self._taken, self._seen.pop(0)[1])
        wanted = max(self._taken, clear)
        pause = MARK_EVERY_SECONDS if wanted > self.above else MARK_READ_EVERY_SECONDS
        if now - self._asked_at < pause:
            return None
        self._asked_at = now
        return wanted

    def marked(self, mark: int) -> None:
        """That is where the mark is by the database's clock."""
        if mark < self.above:  # the clock was set back
            self._seen, self._taken = [], 0
        self.above = mark
