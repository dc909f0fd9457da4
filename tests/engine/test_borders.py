"""The borders between pieces, in whichever direction these are read."""

import pytest

from dispatcher.engine.borders import FAST_SECONDS, SLOW_SECONDS, Borders

TOP = 400


@pytest.fixture
def borders() -> Borders:
    """Those between four pieces of 100."""
    made = Borders(smallest=1)
    assert made.divide(0, TOP)
    return made


def upwards(borders: Borders) -> list[int]:
    """The ends of the pieces."""
    ends = [0]
    while ends[-1] < TOP:
        ends.append(borders.above(ends[-1], TOP))
    return ends[1:]


def test_pieces_go_from_one_border_to_the_next_in_both_directions(borders: Borders) -> None:
    assert upwards(borders) == [100, 200, 300, 400]
    assert [borders.below(number) for number in (400, 300, 101, 100, 0)] == [300, 200, 100, 0, 0]
    assert borders.above(100, 150) == 150


@pytest.mark.parametrize(("begin", "end", "previous"), [(100, 200, 100), (0, 100, 100)])
def test_two_fast_neighbours_are_joined(
    borders: Borders, begin: int, end: int, previous: int
) -> None:
    borders.begin_round(TOP, previous_seconds=FAST_SECONDS / 3)
    borders.note_read(begin, end, FAST_SECONDS / 3, previous=previous)
    assert upwards(borders) == [200, 300, 400]


def test_a_piece_that_timed_out_is_joined_with_none(borders: Borders) -> None:
    """Otherwise the part that was fast before it would be read with all of it the next time."""
    borders.begin_round(TOP)
    borders.note_read(0, 100, FAST_SECONDS / 3, previous=0)
    assert borders.note_timeout(100, 200)
    borders.note_read(100, 125, FAST_SECONDS / 3, previous=100)
    assert upwards(borders)[:3] == [100, 125, 150]


def test_a_slow_piece_is_divided_and_a_usual_one_left(borders: Borders) -> None:
    borders.begin_round(TOP)
    borders.note_read(0, 100, SLOW_SECONDS, previous=0)
    borders.note_read(100, 200, SLOW_SECONDS * 1.1, previous=100)
    assert upwards(borders) == [100, 125, 150, 175, 200, 300, 400]
