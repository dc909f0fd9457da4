"""The rate limit of a queue: a queue that waits holds no slot, and holds up no other."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.endpoint_queue import CATCH_UP_SECONDS, QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues

A, B = UUID(int=1), UUID(int=2)
NOW = 1000.0


def opened(*, interval: float = 0.1, ordered: bool = False) -> EndpointQueues:
    """A is limited, B is not."""
    queues = EndpointQueues(100)
    configure(queues, A, interval=interval, ordered=ordered)
    configure(queues, B)
    return queues


def configure(
    queues: EndpointQueues,
    endpoint_id: UUID,
    *,
    interval: float = 0.0,
    ordered: bool = False,
    resting_until: float = 0.0,
) -> None:
    queues.configure(
        endpoint_id,
        QueueSettings(limit=50, is_ordered=ordered, stored_rest=resting_until, interval=interval),
    )


def offer(queues: EndpointQueues, to: UUID, *numbers: int) -> None:
    for number in numbers:
        assert queues.offer(Delivery(number, number, to, 0, 0, 0, 0.0))


def taken(queues: EndpointQueues, now: float) -> list[int]:
    """All that can be started, answered at once."""
    taken_ids = []
    while one := queues.take(now):
        taken_ids.append(one.id)
        queues.finish_attempt(one, 0.001)
        queues.release(one)
    return taken_ids


def test_the_next_delivery_waits_for_the_rate_limit() -> None:
    queues = opened()
    offer(queues, A, 1, 2, 3)
    assert taken(queues, NOW) == [1]
    assert queues.next_alarm() == pytest.approx(NOW + 0.1 - CATCH_UP_SECONDS)
    assert taken(queues, NOW + 0.05) == []
    assert taken(queues, NOW + 0.1) == [2]
    assert taken(queues, NOW + 0.2) == [3]


def test_a_rate_limit_does_not_hold_up_other_endpoints() -> None:
    queues = opened()
    offer(queues, A, 1, 2)
    offer(queues, B, 11, 12, 13)
    assert taken(queues, NOW) == [1, 11, 12, 13]


def test_idle_time_does_not_allow_a_burst() -> None:
    queues = opened(interval=1.0)
    offer(queues, A, 1, 2, 3, 4)
    assert taken(queues, NOW) == [1]
    assert taken(queues, NOW + 50) == [2]
    assert taken(queues, NOW + 50.9) == []
    assert taken(queues, NOW + 51) == [3]


def test_a_rest_longer_than_the_interval_applies() -> None:
    queues = opened()
    offer(queues, A, 1, 2)
    assert taken(queues, NOW) == [1]
    queues.rest(A, NOW + 5)
    assert taken(queues, NOW + 4.9) == []
    assert taken(queues, NOW + 5) == [2]


def test_an_ordered_queue_has_a_rate_limit_too() -> None:
    queues = opened(ordered=True)
    offer(queues, A, 1, 2)
    assert taken(queues, NOW) == [1]
    assert taken(queues, NOW + 0.1) == [2]


def test_without_its_rate_limit_the_next_delivery_starts_at_once() -> None:
    queues = opened(interval=1.0)
    offer(queues, A, 1, 2, 3)
    assert taken(queues, NOW) == [1]
    configure(queues, A, interval=0.0)
    assert taken(queues, NOW + 0.01) == [2, 3]


@given(
    st.floats(0.001, 0.5),
    st.lists(st.floats(0.0, 0.3), min_size=1, max_size=80),
)
def test_no_period_has_more_starts_than_the_rate_allows(
    interval: float, waits: list[float]
) -> None:
    queues = opened(interval=interval)
    starts: list[float] = []
    now = NOW
    offer(queues, A, *range(100))
    for wait in waits:
        now += wait
        starts += [now] * len(taken(queues, now))
    for i, begin in enumerate(starts):
        for j in range(i, len(starts)):
            share = (starts[j] - begin + CATCH_UP_SECONDS) / interval
            assert j - i <= share + 1e-6


def test_a_late_timer_does_not_lower_the_rate() -> None:
    queues = opened(interval=0.01)
    offer(queues, A, *range(100))
    late = 0.002
    count = sum(len(taken(queues, NOW + n * 0.01 + late)) for n in range(50))
    assert 49 <= count <= 53


def test_a_rate_limit_continues_when_the_clock_is_set_back() -> None:
    queues = opened(interval=10.0)
    offer(queues, A, *range(1 + 2))
    assert taken(queues, NOW) != []
    due = queues.next_alarm()
    assert due is not None
    queues.set_back(500.0)
    assert queues.next_alarm() == due - 500.0
    assert taken(queues, due - 500.1) == []
    assert taken(queues, due - 500.0) != []
