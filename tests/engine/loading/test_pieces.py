"""Pieces of a range: divided where reading takes long, joined where it does not."""

from dispatcher.engine.borders import BORDERS_LIMIT, FAST_SECONDS, SLOW_SECONDS
from dispatcher.engine.loading.pieces import Pieces


def round_of(pieces: Pieces, top: int, seconds: float) -> list[tuple[int, int]]:
    """Read all pieces of a round, each in `seconds`, and return them."""
    read = []
    pieces.begin(top)
    while piece := pieces.current:
        read.append(piece)
        pieces.note_read(seconds)
    return read


def test_without_slow_reads_there_is_one_piece() -> None:
    pieces = Pieces(smallest=1)
    assert round_of(pieces, 1_000, SLOW_SECONDS) == [(0, 1_000)]
    assert round_of(pieces, 2_000, SLOW_SECONDS) == [(0, 2_000)]
    assert pieces.current is None


def test_a_piece_that_took_long_is_divided_for_the_next_round() -> None:
    pieces = Pieces(smallest=1)
    round_of(pieces, 1_000, SLOW_SECONDS * 1.1)
    assert round_of(pieces, 1_000, SLOW_SECONDS) == [
        (750, 1_000),
        (500, 750),
        (250, 500),
        (0, 250),
    ]


def test_a_piece_that_timed_out_is_divided_at_once() -> None:
    pieces = Pieces(smallest=1)
    pieces.begin(1_000)
    pieces.note_timeout()
    assert pieces.current == (750, 1_000)
    pieces.note_timeout()
    assert pieces.current == (936, 1_000)  # a quarter of 250 is 62


def test_a_piece_that_cannot_be_divided_is_skipped() -> None:
    pieces = Pieces(smallest=100)
    pieces.begin(400)
    pieces.note_timeout()
    pieces.note_timeout()
    assert pieces.current == (200, 300)


def test_neighbours_that_are_fast_together_are_joined() -> None:
    pieces = Pieces(smallest=1)
    round_of(pieces, 1_000, 1.0)
    assert round_of(pieces, 1_000, FAST_SECONDS / 3)[0] == (750, 1_000)
    assert round_of(pieces, 1_000, FAST_SECONDS / 3) == [(500, 1_000), (0, 500)]
    assert round_of(pieces, 1_000, FAST_SECONDS / 3) == [(0, 1_000)]


def test_a_first_piece_of_times_is_divided_into_longer_and_longer_ones() -> None:
    pieces = Pieces(smallest=1, newest=60)
    pieces.begin(1_000)
    pieces.note_timeout()
    assert round_of(pieces, 1_000, SLOW_SECONDS) == [(940, 1_000), (760, 940), (40, 760), (0, 40)]


def test_borders_above_the_top_are_forgotten() -> None:
    pieces = Pieces(smallest=1)
    round_of(pieces, 1_000, 1.0)
    assert round_of(pieces, 300, SLOW_SECONDS) == [(250, 300), (0, 250)]


def test_the_number_of_pieces_is_bounded() -> None:
    pieces = Pieces(smallest=1)
    for _ in range(20):
        round_of(pieces, 1 << 60, 1.0)
    read = round_of(pieces, 1 << 60, 1.0)
    assert BORDERS_LIMIT // 2 < len(read) <= BORDERS_LIMIT + 1
