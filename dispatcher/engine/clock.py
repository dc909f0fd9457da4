"""Estimate the database's time between two statements: only the database decides what is due."""

import time
from collections.abc import Callable

STEP_SECONDS = 5.0
"""A jump of at least this many seconds means that the database's clock was set, not corrected."""


def steady() -> float:
    """Return seconds on a clock that never goes back and runs while the machine is suspended.

    `time.monotonic` stops during a suspend. A lease timed by it would look valid after a resume,
    although another daemon has taken over. No clock runs in a virtual machine that its host
    pauses: there, only the attempt number prevents that a result is recorded twice.
    """
    return time.clock_gettime(_STEADY)


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """The database's time in epoch seconds, carried forward by this machine's steady clock.

    The estimate is at most the true time, so that no retry is early; quick answers make it more
    exact. Before the first answer, this machine's wall clock is used.
    """

    def __init__(self, steady: Callable[[], float] = steady) -> None:
        self._steady = steady
        self._ahead = time.time() - steady()
        self._asked = False

    def now(self) -> float:
        return self._steady() + self._ahead

    def set(self, database_now: float, asked_at: float) -> float:
        """Adjust to `database_now`, the answer to a statement sent at `asked_at` (steady seconds).

        Return by how many seconds the database's clock was set since the last answer, negative if
        it was set back. Return 0.0 for the first answer, and for a jump below STEP_SECONDS.
        """
        # The true offset lies between these two, as the answer's travel time is unknown.
        least, most = database_now - self._steady(), database_now - asked_at
        before, first = self._ahead, not self._asked
        self._asked = True
        if not first and least <= before <= most:
            return 0.0
        self._ahead = least
        step = least - before
        return 0.0 if first or abs(step) < STEP_SECONDS else step
