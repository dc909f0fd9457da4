"""How much a fan-out statement takes."""

from dispatcher.engine.batch_size import SMALLEST_PART, BatchSize
from dispatcher.engine.fanout.fanout import EVENTS_LIMIT
from dispatcher.store.queries.inbox import DELIVERIES_LIMIT


def test_a_statement_takes_the_usual_numbers() -> None:
    assert BatchSize().scale(EVENTS_LIMIT) == EVENTS_LIMIT
    assert BatchSize().scale(DELIVERIES_LIMIT) == DELIVERIES_LIMIT


def test_each_timeout_divides_the_batch_by_four_down_to_one_event() -> None:
    size = BatchSize()
    seen = []
    while size.shrink():
        seen.append(size.scale(EVENTS_LIMIT))
    assert seen == [125, 31, 7, 1]
    assert size.scale(DELIVERIES_LIMIT) == int(DELIVERIES_LIMIT * SMALLEST_PART)
    assert not size.shrink()


def test_each_success_doubles_the_batch_again() -> None:
    size = BatchSize()
    while size.shrink():
        pass
    seen = []
    while size.scale(EVENTS_LIMIT) < EVENTS_LIMIT:
        size.grow()
        seen.append(size.scale(EVENTS_LIMIT))
    assert seen == [3, 7, 15, 31, 62, 125, 250, 500]
    size.grow()
    assert size.scale(EVENTS_LIMIT) == EVENTS_LIMIT
