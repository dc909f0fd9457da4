"""The database's time, between two askings: only the database decides what is due."""

import time
from collections.abc import Callable

STEP_SECONDS = 5.0
"""The database's clock was set, not merely corrected, if it moved by more than this at once."""


def steady() -> float:
    """Return seconds on a clock that never goes back, and goes on while the machine is suspended.

    `time.monotonic` stands still in a suspend: a lease timed by it would still look valid after it,
    although another daemon has taken over. A virtual machine that its host pauses sees no time pass
    by any clock; there only the attempt number protects from recording a result twice.
    """
    return time.clock_gettime(_STEADY)


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """Epoch seconds by the database's clock, carried forward by the machine's monotonic one.

    Rather a little behind than ahead, that no retry is early: the answer that came quickest tells
    best. Until the database was first asked, this machine's own clock stands in.
    """

    def __init__(self, steady: Callable[[], float] = steady) -> None:
        self._steady = steady
        self._ahead = time.time() - steady()
        self._asked = False

    def now(self) -> float:
        return self._steady() + self._ahead

    def set(self, database_now: float, asked_at: float) -> float:
        """Go on from `database_now`, the answer to a question asked at `asked_at` (steady).

        Return by how many seconds the database's clock was set forward (or back, if negative)
        since it was last asked: 0.0 for what may be a correction, and for the first answer.
        """
        # It was somewhere between these two: how long the answer was on its way is not known.
        least, most = database_now - self._steady(), database_now - asked_at
        before, first = self._ahead, not self._asked
        self._asked = True
        if not first and least <= before <= most:
            return 0.0
        self._ahead = least
        step = least - before
        return 0.0 if first or abs(step) < STEP_SECONDS else step
