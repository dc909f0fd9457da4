from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.retry_heap import RetryHeap


def delivery(number: int, shard: int = 0) -> Delivery:
    return Delivery(
        id=number,
        event_id=1,
        endpoint_id=UUID(int=0),
        shard=shard,
        attempt=1,
        base=0,
        next_at=0.0,
    )


def filled(*dues: float, capacity: int = 10) -> RetryHeap:
    heap = RetryHeap(capacity)
    for number, due in enumerate(dues):
        assert heap.push(due, delivery(number))
    return heap


def ids(deliveries: list[Delivery]) -> list[int]:
    return [delivery.id for delivery in deliveries]


def test_an_empty_heap_has_nothing_due() -> None:
    heap = RetryHeap(10)
    assert len(heap) == 0
    assert heap.room == 10
    assert heap.next_due() is None
    assert heap.pop_due(1e18, 100) == []


@pytest.mark.parametrize(
    ("now", "limit", "popped", "next_due"),
    [
        (0.9, 10, [], 1.0),
        (1.0, 10, [1], 2.0),
        (2.5, 10, [1, 2], 3.0),
        (2.5, 1, [1], 2.0),
        (9.0, 10, [1, 2, 0], None),
        (9.0, 0, [], 1.0),
    ],
)
def test_due_deliveries_come_out_earliest_first_up_to_the_limit(
    now: float, limit: int, popped: list[int], next_due: float | None
) -> None:
    heap = filled(3.0, 1.0, 2.0)
    assert ids(heap.pop_due(now, limit)) == popped
    assert heap.next_due() == next_due
    assert len(heap) == 3 - len(popped)
    assert heap.room == 7 + len(popped)


def test_deliveries_due_together_keep_their_order() -> None:
    heap = filled(*[5.0] * 10)
    assert ids(heap.pop_due(5.0, 4)) == [0, 1, 2, 3]
    assert heap.push(5.0, delivery(10))
    assert ids(heap.pop_due(5.0, 100)) == [4, 5, 6, 7, 8, 9, 10]


def test_a_full_heap_accepts_nothing_until_one_leaves() -> None:
    heap = filled(1.0, 2.0, capacity=2)
    assert not heap.push(0.5, delivery(2))
    assert heap.room == 0
    assert heap.next_due() == 1.0
    assert ids(heap.pop_due(1.0, 1)) == [0]
    assert heap.push(0.5, delivery(2))
    assert ids(heap.pop_due(2.0, 10)) == [2, 1]


def test_a_heap_without_capacity_takes_nothing() -> None:
    assert not RetryHeap(0).push(1.0, delivery(1))


def test_the_deliveries_of_lost_shards_are_discarded_and_the_others_keep_their_order() -> None:
    heap = RetryHeap(100)
    for number in range(20):
        assert heap.push(float(-number % 7), delivery(number, shard=number % 4))
    lost = heap.discard_shards({1, 3})
    assert sorted(ids(lost)) == [number for number in range(20) if number % 2]
    assert heap.room == 90
    kept = sorted((-number % 7, number) for number in range(0, 20, 2))
    assert ids(heap.pop_due(100.0, 100)) == [number for _, number in kept]


def test_discarding_other_shards_changes_nothing() -> None:
    heap = filled(2.0, 1.0)
    assert heap.discard_shards(range(1, 64)) == []
    assert ids(heap.pop_due(9.0, 9)) == [1, 0]


def test_the_repr_shows_the_length_and_the_next_time() -> None:
    assert repr(RetryHeap(10)) == "<RetryHeap 0 of 10, nothing>"
    assert repr(filled(12.5, 8.25)) == "<RetryHeap 2 of 10, next at 8.250>"


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 20), st.integers(0, 6))
def test_a_heap_behaves_as_a_sorted_list_of_limited_length(
    dues: list[int], capacity: int, now: int
) -> None:
    heap = RetryHeap(capacity)
    taken = [heap.push(float(due), delivery(number)) for number, due in enumerate(dues)]
    assert taken == [number < capacity for number in range(len(dues))]
    held = sorted((due, number) for number, due in enumerate(dues[:capacity]))
    assert ids(heap.pop_due(float(now), 100)) == [number for due, number in held if due <= now]
    assert heap.next_due() == min((due for due, _ in held if due > now), default=None)
