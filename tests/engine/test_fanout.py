"""How much a fan-out statement takes."""

from dispatcher.engine.fanout import (
    MOST_DELIVERIES,
    MOST_EVENTS,
    SMALLEST,
    Size,
)


def test_a_statement_takes_the_usual_numbers() -> None:
    assert Size().of(MOST_EVENTS) == MOST_EVENTS
    assert Size().of(MOST_DELIVERIES) == MOST_DELIVERIES


def test_each_timeout_leaves_a_quarter_down_to_one_event() -> None:
    size = Size()
    seen = []
    while size.shrink():
        seen.append(size.of(MOST_EVENTS))
    assert seen == [125, 31, 7, 1]
    assert size.of(MOST_DELIVERIES) == int(MOST_DELIVERIES * SMALLEST)
    assert not size.shrink()


def test_each_success_doubles_it_again() -> None:
    size = Size()
    while size.shrink():
        pass
    seen = []
    while size.of(MOST_EVENTS) < MOST_EVENTS:
        size.fits()
        seen.append(size.of(MOST_EVENTS))
    assert seen == [3, 7, 15, 31, 62, 125, 250, 500]
    size.fits()
    assert size.of(MOST_EVENTS) == MOST_EVENTS
