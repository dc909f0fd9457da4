"""Estimate the database's time between two statements: only the database decides what is due."""

import time
from collections.abc import Callable
from functools import partial

CLOCK_STEP_SECONDS = 5.0
"""A jump of at least this many seconds means that the database's clock was set, not corrected."""

boottime: Callable[[], float] = partial(
    time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
)
"""Seconds on a clock that never goes back and runs while the machine is suspended.

`time.monotonic` stops during a suspend. A lease timed by it would look valid after a resume,
although another daemon has taken over. No clock runs in a virtual machine that its host
pauses: there, only the attempt number prevents that a result is recorded twice.
"""


class Clock:
    """The database's time in epoch seconds, carried forward by the clock `boottime`.

    The estimate is at most the true time, so that no retry is early; quick answers make it more
    exact. Before the first answer, this machine's wall clock is used. It may be wrong by any time:
    decide nothing by it before `is_set`.
    """

    def __init__(self, boottime: Callable[[], float] = boottime) -> None:
        self._boottime = boottime
        self._offset = time.time() - boottime()
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Return True after the database's first answer."""
        return self._is_set

    def now(self) -> float:
        """Return the estimated time of the database in epoch seconds."""
        return self._boottime() + self._offset

    def set(self, database_now: float, asked_at: float) -> float:
        """Adjust to `database_now`, the answer to a statement sent at `asked_at` (of `boottime`).

        Return by how many seconds the database's clock was set since the last answer, negative if
        it was set back. Return 0.0 for the first answer, and for a jump below CLOCK_STEP_SECONDS.
        """
        # The true offset lies between these two, as the answer's travel time is unknown.
        lower, upper = database_now - self._boottime(), database_now - asked_at
        previous, is_first = self._offset, not self._is_set
        self._is_set = True
        if not is_first and lower <= previous <= upper:
            return 0.0
        self._offset = lower
        step = lower - previous
        return 0.0 if is_first or abs(step) < CLOCK_STEP_SECONDS else step
