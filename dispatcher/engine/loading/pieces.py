"""Read a range of whole numbers in pieces, from the last one down. Pure."""

from dispatcher.engine.borders import UNKNOWN_SECONDS, Borders


class Pieces:
    """The pieces between the borders from 0 up to a top, read in rounds.

    A piece is a pair: the first number of it, and the first one after it. `smallest` and `newest`
    are those of Borders.
    """

    def __init__(self, *, smallest: int, newest: int | None = None) -> None:
        self._borders = Borders(smallest=smallest, newest=newest)
        self._end = 0

    @property
    def current(self) -> tuple[int, int] | None:
        """Return the piece to read next, None if no round is under way."""
        return self.last(self._end) if self._end > 0 else None

    def last(self, top: int) -> tuple[int, int]:
        """Return the last piece of those up to `top`."""
        return self._borders.below(top), top

    def begin(self, top: int, previous_seconds: float = UNKNOWN_SECONDS) -> None:
        """Begin a round below `top`; the piece above it, if any, took `previous_seconds`."""
        self._borders.begin_round(top, previous_seconds)
        self._end = top

    def note_read(self, seconds: float) -> None:
        """Note that the current piece was read in `seconds`, and go on to the one before it."""
        begin, end = self.last(self._end)
        self._end = begin
        self._borders.note_read(begin, end, seconds, previous=end)

    def note_timeout(self) -> None:
        """Divide the current piece, to read its parts; skip it if it cannot be divided."""
        begin, end = self.last(self._end)
        if not self._borders.note_timeout(begin, end):
            self._end = begin

    def divide(self, begin: int, end: int) -> bool:
        """Divide a piece, and return False if it is too small or there are too many borders."""
        return self._borders.divide(begin, end)
