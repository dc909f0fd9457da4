"""The size of the next statement, which adapts to timeouts. Pure."""

SMALLEST_PART = 1 / 256
"""Smallest part of the usual size; statements that time out are made smaller down to it."""
SHRINK_DIVISOR = 4
GROW_FACTOR = 2


class BatchSize:
    """A part of the usual numbers: a timeout divides it by four, a success doubles it."""

    def __init__(self) -> None:
        self._part = 1.0

    @property
    def is_smallest(self) -> bool:
        """Return True if a timeout cannot make it smaller."""
        return self._part <= SMALLEST_PART

    def scale(self, number: int) -> int:
        """Return `number` scaled to the current size, at least 1."""
        return max(1, int(number * self._part))

    def grow(self) -> None:
        """Double the size after a success, up to the whole."""
        self._part = min(1.0, self._part * GROW_FACTOR)

    def shrink(self) -> bool:
        """Divide the size by four; return False if it was the smallest already."""
        has_shrunk = not self.is_smallest
        self._part = max(SMALLEST_PART, self._part / SHRINK_DIVISOR)
        return has_shrunk
