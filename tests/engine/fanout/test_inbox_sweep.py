"""The inbox below the mark is searched in pieces, round after round."""

from collections.abc import Callable

from dispatcher.engine.borders import BORDERS_LIMIT
from dispatcher.engine.fanout.inbox_sweep import FIRST_PIECE, ROUND_EVERY_SECONDS, Sweep

MARK = 91_000_000_000 << 22
PIECES_LIMIT = 10_000


def a_round(
    sweep: Sweep, now: float, seconds: Callable[[int, int], float], mark: int = MARK
) -> list[tuple[int, int]]:
    """The pieces that were searched; more than 2 seconds are too much."""
    pieces: list[tuple[int, int]] = []
    for _ in range(PIECES_LIMIT):
        piece = sweep.next(now, mark)
        if piece is None:
            return pieces
        if seconds(*piece) > 2.0:
            sweep.note_timeout()
        else:
            sweep.note_searched(seconds(*piece))
            pieces.append(piece)
    raise AssertionError("the round does not end")


def covers(pieces: list[tuple[int, int]], mark: int) -> bool:
    ends = [end for _, end in pieces]
    return [begin for begin, _ in pieces] == [0, *ends[:-1]] and ends[-1] == mark


def test_a_round_searches_everything_once_from_the_oldest_on() -> None:
    pieces = a_round(Sweep(), 0.0, lambda low, high: 0.0)
    assert covers(pieces, MARK)
    assert pieces[-1] == (MARK - FIRST_PIECE, MARK)


def test_quick_pieces_are_joined_until_one_is_left() -> None:
    sweep, pieces = Sweep(), [(0, 0)]
    for number in range(10):
        pieces = a_round(sweep, number * ROUND_EVERY_SECONDS, lambda low, high: 0.0)
        assert covers(pieces, MARK)
    assert pieces == [(0, MARK)]


def test_a_slow_piece_is_divided_until_it_is_fast_and_stays_divided() -> None:
    """An hour full of rows that cannot be removed: all at once would take 9 seconds."""
    hour = 3_600_000 << 22

    def seconds(low: int, high: int) -> float:
        return 9.0 * max(0, high - max(low, MARK - hour)) / hour

    sweep, pieces, timeouts = Sweep(), [(0, 0)], 0

    def counted(low: int, high: int) -> float:
        nonlocal timeouts
        timeouts += seconds(low, high) > 2.0
        return seconds(low, high)

    for number in range(20):
        timeouts = 0
        pieces = a_round(sweep, number * ROUND_EVERY_SECONDS, counted)
        assert covers(pieces, MARK)
    # Each was cut into four, in half a dozen rounds at most.
    assert timeouts == 0
    assert max(seconds(*piece) for piece in pieces) <= 0.1
    assert len(pieces) <= 9 / 0.02 * 1.5


def test_a_piece_that_cannot_be_divided_is_skipped() -> None:
    assert a_round(Sweep(), 0.0, lambda low, high: 9.0, mark=3) == []


def test_a_sweep_has_at_most_so_many_pieces_however_slow_they_are() -> None:
    sweep, pieces = Sweep(), [(0, 0)]
    for number in range(30):
        pieces = a_round(sweep, number * ROUND_EVERY_SECONDS, lambda low, high: 1.0)
    assert len(pieces) <= BORDERS_LIMIT + 1
