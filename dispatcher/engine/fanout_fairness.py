"""Decide which events are fanned out next, so that no environment waits for another's flood.

The first statement takes the oldest events of all environments. If it cannot take all of them, the
next statement excludes the environments with the largest part, and so on, until one statement takes
all that is left. Then all environments are next again. The events of an environment keep their
order. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

WATERMARK_AGE = 60.0
"""The watermark is the highest inbox id taken this many seconds ago."""
SWEEP_EVERY = 10.0
"""Seconds between two reads of the whole inbox, which find events committed later than that."""
LOOK_AGAIN_EVERY = 1.0
"""Seconds between two reads from the watermark, which find events committed late behind a flood.

Between them, each statement continues where the last one stopped. Otherwise it would read the dead
rows of taken events again and again, as long as an old snapshot keeps them.
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """The part of the inbox to take: ids above `above`, without the environments `without`.

    `wide`: the first event alone has more endpoints than one statement may make deliveries for.
    """

    without: tuple[str, ...]
    above: int
    wide: bool = False


class Turns:
    """The order of the turns; times are monotonic seconds."""

    def __init__(self) -> None:
        self._watermark = Watermark()
        self._bound = 0
        self._without: tuple[str, ...] = ()
        # For each list of excluded environments: the inbox id up to which nothing is left to take.
        self._reached: dict[tuple[str, ...], int] = {}
        self._looked_at = float("-inf")
        self._wide: set[tuple[str, ...]] = set()

    def next(self, now: float) -> Turn:
        """Return the part of the inbox that the next statement takes."""
        if now - self._looked_at >= LOOK_AGAIN_EVERY:
            self._looked_at = now
            self._reached.clear()
        if not self._without:
            self._bound = self._watermark.above(now)
        above = self._reached.get(self._without, self._bound)
        return Turn(self._without, above, self._without in self._wide)

    def widen(self, turn: Turn) -> None:
        """Note that the first event of this turn makes too many deliveries for one statement."""
        self._wide.add(turn.without)

    def took(
        self, turn: Turn, *, last: int | None, more: bool, crowding: Iterable[str], now: float
    ) -> None:
        """Note that a statement took events up to the inbox id `last`, None if it took none.

        If this turn may have `more` events, the next turn also excludes `crowding`, the
        environments with the largest part. If not, or if `crowding` adds none, the next turn is
        for all environments.
        """
        if not turn.without:
            self._watermark.seen(last, now)
        if not turn.without and not more:
            self._reached.pop((), None)
        elif last is not None:
            self._reached[turn.without] = max(turn.above, last)
        added = tuple(sorted(set(crowding) - set(turn.without))) if more else ()
        self._without = turn.without + added if added else ()

    def done(self, turn: Turn) -> None:
        """Note that the wide event of this turn has all its deliveries."""
        self._wide.discard(turn.without)


class Watermark:
    """The inbox id where reading starts: below it are dead index entries and late commits only.

    An id is assigned when its row is inserted, but the row may be committed much later. So the
    watermark is the highest id taken WATERMARK_AGE ago, and every SWEEP_EVERY it is 0.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []
        self._above = 0
        self._swept_at = 0.0

    def seen(self, highest: int | None, now: float) -> None:
        """Note that events up to this id were taken, None if none.

        If it is below the watermark, the clock was set back: start without a watermark again.
        """
        if highest is None:
            return
        if highest < self._above:
            self._seen, self._above = [], 0
        if not self._seen or now - self._seen[-1][0] >= 1.0:
            self._seen.append((now, highest))

    def above(self, now: float) -> int:
        """Return the inbox id above which to read, 0 for the whole inbox."""
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            return 0
        while self._seen and self._seen[0][0] <= now - WATERMARK_AGE:
            self._above = max(self._above, self._seen.pop(0)[1])
        return self._above
