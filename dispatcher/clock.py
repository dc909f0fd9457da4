"""The database's time, between two askings: only the database decides what is due."""

from collections.abc import Callable
from time import monotonic, time


class Clock:
    """Epoch seconds by the database's clock, carried forward by the machine's monotonic one.

    Rather a little behind than ahead, that no retry is early: the answer that came quickest tells
    best. Until the database was first asked, this machine's own clock stands in.
    """

    def __init__(self, steady: Callable[[], float] = monotonic) -> None:
        self._steady = steady
        self._ahead = time() - steady()
        self._asked = False

    def now(self) -> float:
        return self._steady() + self._ahead

    def set(self, database_now: float, asked_at: float) -> None:
        """`database_now` is what the database answered to a question asked at `asked_at` (steady)."""
        # It was somewhere between these two: how long the answer was on its way is not known.
        least, most = database_now - self._steady(), database_now - asked_at
        self._ahead = self._ahead if self._asked and least <= self._ahead <= most else least
        self._asked = True
