"""Lanes and what is pending: turns, places, rests, and rows read while others are settled."""

from uuid import UUID

import pytest

from dispatcher.lanes import Lanes
from dispatcher.model import Delivery
from dispatcher.pending import Pending

ONE = UUID(int=1)


def delivery(number: int, next_at: float = 0.0) -> Delivery:
    return Delivery(number, number, ONE, shard=0, attempt=0, base=0, next_at=next_at)


def lanes(*, limit: int = 1, ordered: bool = False, waiting: int = 3) -> Lanes:
    """One lane with deliveries 1, 2, … waiting in it."""
    made = Lanes(depth=10)
    opened(made, limit=limit, ordered=ordered)
    for number in range(1, waiting + 1):
        assert made.offer(delivery(number))
    return made


def opened(made: Lanes | Pending, *, limit: int = 1, ordered: bool = False) -> None:
    made.configure(ONE, limit=limit, holding=False, ordered=ordered, paused_until=0.0)


def taken(made: Lanes | Pending, now: float = 1.0) -> list[int]:
    """The ids of what may be started now."""
    found = []
    while (one := made.take(now)) is not None:
        found.append(one.id)
    return found


def test_no_more_are_under_way_than_the_limit() -> None:
    made = lanes(limit=2)
    assert taken(made) == [1, 2]
    made.land(delivery(1))
    assert taken(made) == [3]


def test_an_ordered_lane_waits_until_what_is_under_way_is_settled() -> None:
    made = lanes(limit=1, ordered=True)
    assert taken(made) == [1]
    made.land(delivery(1))
    assert taken(made) == []
    made.settle(delivery(1))
    assert taken(made) == [2]


@pytest.mark.parametrize("becomes_ordered", [True, False])
def test_a_place_is_given_back_once_when_the_order_changes_between_landing_and_settling(
    becomes_ordered: bool,
) -> None:
    made = lanes(limit=1, ordered=not becomes_ordered)
    assert taken(made) == [1]
    made.land(delivery(1))
    opened(made, limit=1, ordered=becomes_ordered)
    made.settle(delivery(1))
    assert taken(made) == [2]
    made.settle(delivery(2))
    assert taken(made) == [3]


def test_a_rest_is_one_alarm_however_much_arrives_meanwhile() -> None:
    made = lanes(waiting=0)
    made.pause(ONE, 100.0)
    for number in range(10):
        made.offer(delivery(number))
        assert taken(made) == []
    assert len(made._alarms) == 1
    assert made.next_alarm() == 100.0
    assert taken(made, now=100.0) == [0]


def test_a_rest_cut_short_ends_when_it_now_ends() -> None:
    made = lanes()
    made.pause(ONE, 100.0)
    assert taken(made) == []
    made.configure(ONE, limit=1, holding=False, ordered=False, paused_until=50.0)
    assert taken(made) == []
    assert made.next_alarm() == 50.0
    assert taken(made, now=50.0) == [1]


def pending(*, ordered: bool) -> Pending:
    made = Pending(capacity=10, lanes=Lanes(depth=10))
    made.own(frozenset({0}))
    opened(made, limit=1 if ordered else 10, ordered=ordered)
    return made


def test_a_row_read_before_its_delivery_was_settled_is_not_taken() -> None:
    made = pending(ordered=False)
    made.admit([delivery(1)], 1.0)
    with made.reading() as settled:
        assert taken(made) == [1]
        made.settle(delivery(1), None)
        made.admit([delivery(1), delivery(2)], 1.0, settled)
    assert taken(made) == [2]


def test_an_ordered_lane_that_starts_again_takes_nothing_read_before() -> None:
    made = pending(ordered=True)
    made.admit([delivery(1), delivery(2)], 1.0)
    assert taken(made) == [1]
    with made.reading() as settled:
        made.lose(delivery(1))  # what became of it is only in the table
        made.admit([delivery(1), delivery(2), delivery(3)], 1.0, settled)
    assert taken(made) == []
    assert made.hungry() == [ONE]
    made.admit([delivery(1, next_at=5.0), delivery(2)], 1.0)
    assert taken(made) == []
    assert taken(made, now=5.0) == [1]
