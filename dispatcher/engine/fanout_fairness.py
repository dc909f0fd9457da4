"""Which part of the inbox is fanned out next, so that nobody waits for all of another's flood.

First everybody's oldest events. When a statement could not take all there was, the next one passes
over the environments that crowded it, and so on, until one takes all there is; then it is
everybody's turn again. An environment's own events keep their order. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

WATERMARK_AGE = 60.0
SWEEP_EVERY = 10.0
LOOK_AGAIN_EVERY = 1.0
"""Seconds after which what was committed late behind a flood is looked for. In between the inbox is read
on from where a statement stopped: while an old snapshot is in use somewhere, every event that was taken
leaves a row behind that would have to be looked at again."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Take events with inbox ids above `above`, but none of the environments `without`.

    `wide`: the first one alone is owed to more endpoints than one statement may make deliveries for.
    """

    without: tuple[str, ...]
    above: int
    wide: bool = False


class Turns:
    """Whose turn it is. Times are steady seconds."""

    def __init__(self) -> None:
        self._watermark = Watermark()
        self._bound = 0
        self._without: tuple[str, ...] = ()
        # For each list of environments passed over: up to where all events are theirs, or taken.
        self._reached: dict[tuple[str, ...], int] = {}
        self._looked_at = float("-inf")
        self._wide: set[tuple[str, ...]] = set()

    def next(self, now: float) -> Turn:
        if now - self._looked_at >= LOOK_AGAIN_EVERY:
            self._looked_at = now
            self._reached.clear()
        if not self._without:
            self._bound = self._watermark.above(now)
        above = self._reached.get(self._without, self._bound)
        return Turn(self._without, above, self._without in self._wide)

    def widen(self, turn: Turn) -> None:
        """The first event of this turn is too much for one statement."""
        self._wide.add(turn.without)

    def took(
        self, turn: Turn, *, last: int | None, more: bool, crowding: Iterable[str], now: float
    ) -> None:
        """A statement took events up to the inbox id `last`. If there are `more` of this turn,
        `crowding` are the environments that had the greater part in it."""
        if not turn.without:
            self._watermark.seen(last, now)
        if not turn.without and not more:
            self._reached.pop((), None)
        elif last is not None:
            self._reached[turn.without] = max(turn.above, last)
        added = tuple(sorted(set(crowding) - set(turn.without))) if more else ()
        self._without = turn.without + added if added else ()

    def done(self, turn: Turn) -> None:
        """The wide event of this turn has all its deliveries."""
        self._wide.discard(turn.without)


class Watermark:
    """Where to start reading the inbox: below are only dead index entries, and late commits.

    An id is drawn when its row is inserted, and may be committed much later: so the bound is the
    highest id taken a minute ago, and every ten seconds there is none.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []
        self._above = 0
        self._swept_at = 0.0

    def seen(self, highest: int | None, now: float) -> None:
        """Events up to this id were taken. Only lower ones than before: the clock was set back."""
        if highest is None:
            return
        if highest < self._above:
            self._seen, self._above = [], 0
        if not self._seen or now - self._seen[-1][0] >= 1.0:
            self._seen.append((now, highest))

    def above(self, now: float) -> int:
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            return 0
        while self._seen and self._seen[0][0] <= now - WATERMARK_AGE:
            self._above = max(self._above, self._seen.pop(0)[1])
        return self._above
