"""Divide a range of whole numbers by borders into pieces that one statement each can read in time.

While an old snapshot is in use, the rows of taken events and of ended deliveries stay in the
tables, and a search has to pass them: there may be millions. A piece that takes long is divided,
neighbours that are fast are joined, and the borders are kept from round to round. Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

SLOW_SECONDS = 0.1
"""A piece that takes longer is divided."""
FAST_SECONDS = 0.02
"""Neighbours that take less together are joined."""
PARTS = 4
"""The parts of a piece that is divided."""
BORDERS_LIMIT = 1_000
"""Most borders, so that memory stays small."""
UNKNOWN_SECONDS = float("inf")
"""Stands for the time of a piece that was not read, so that no other piece is joined with it."""


class Borders:
    """The borders between the pieces of a range that begins at 0.

    A piece goes from one border to the next. It is divided into PARTS parts, unless these would be
    shorter than `smallest`. With `newest`, the numbers are times, or ids that grow with time. Then
    the piece that begins at 0 is divided in another way: the newest part has the length `newest`,
    and each border is PARTS times as far from the end of the piece as the next newer border.
    """

    def __init__(self, *, smallest: int, newest: int | None = None) -> None:
        self._smallest = smallest
        self._newest = newest
        self._numbers: list[int] = []
        self._previous_seconds = UNKNOWN_SECONDS

    def below(self, number: int) -> int:
        """Return the last border below `number`, 0 if there is none."""
        index = bisect_left(self._numbers, number)
        return self._numbers[index - 1] if index else 0

    def above(self, number: int, top: int) -> int:
        """Return the first border above `number`, `top` if there is none before that."""
        index = bisect_right(self._numbers, number)
        return min([top, *self._numbers[index : index + 1]])

    def begin_round(self, top: int, previous_seconds: float = UNKNOWN_SECONDS) -> None:
        """Begin a round up to `top`: forget the borders above it.

        `previous_seconds` is the time of the piece next to the first one, if that was read.
        """
        del self._numbers[bisect_right(self._numbers, top) :]
        self._previous_seconds = previous_seconds

    def note_read(self, begin: int, end: int, seconds: float, *, previous: int) -> None:
        """Note that a piece was read in `seconds`. Divide it if that was slow.

        Join it with the piece that was read before it if both together were fast. `previous` is the
        border between these two, so either `begin` or `end`.
        """
        if seconds > SLOW_SECONDS:
            self.divide(begin, end)
        is_fast = self._previous_seconds + seconds < FAST_SECONDS
        if is_fast and previous in self._numbers:
            self._numbers.remove(previous)
            self._previous_seconds += seconds
        else:
            self._previous_seconds = seconds

    def note_timeout(self, begin: int, end: int) -> bool:
        """Divide a piece that was not read in time, and return False if it cannot be divided."""
        self._previous_seconds = UNKNOWN_SECONDS
        return self.divide(begin, end)

    def divide(self, begin: int, end: int) -> bool:
        """Divide a piece, and return False if it is too small or there are too many borders."""
        numbers = sorted([*self._numbers, *self._inside(begin, end)])
        if len(numbers) == len(self._numbers) or len(numbers) > BORDERS_LIMIT:
            return False
        self._numbers = numbers
        return True

    def _inside(self, begin: int, end: int) -> Iterator[int]:
        """Yield the borders between the parts of a piece, none if it is too small."""
        if begin == 0 and self._newest is not None:
            length = self._newest
            while length < end:
                yield end - length
                length *= PARTS
            return
        length = (end - begin) // PARTS
        if length >= self._smallest:
            yield from (begin + number * length for number in range(1, PARTS))
