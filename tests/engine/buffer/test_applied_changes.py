"""Change notices about deliveries that are in memory."""

from dataclasses import replace
from uuid import UUID

import pytest

from dispatcher.core.model import ChangeNotice, Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues

A, ORDERED = UUID(int=1), UUID(int=2)
NOW = 1000.0
HOUR = 3600.0


def opened(*, depth: int = 10, capacity: int = 100, stopped: bool = False) -> DeliveryBuffer:
    """Memory of a daemon that owns shard 0, read a minute ahead."""
    buffer = DeliveryBuffer(capacity=capacity, queues=EndpointQueues(depth))
    buffer.own(frozenset([0]))
    buffer.raise_watermark(0, NOW + 60)
    for endpoint_id in (A, ORDERED):
        ordered = endpoint_id == ORDERED
        buffer.configure(
            endpoint_id,
            QueueSettings(limit=1 if ordered else 5, is_stopped=stopped, is_ordered=ordered),
        )
    return buffer


def delivery(
    number: int, to: UUID = A, *, next_at: float = NOW, attempt: int = 1, shard: int = 0
) -> Delivery:
    return Delivery(number, number, to, shard, attempt, 0, next_at)


def gone(of: Delivery) -> ChangeNotice:
    return ChangeNotice(of.id + 500, of.id, of.endpoint_id, of.shard, None)


def changed(now_is: Delivery) -> ChangeNotice:
    return ChangeNotice(now_is.id + 500, now_is.id, now_is.endpoint_id, now_is.shard, now_is)


def amend(buffer: DeliveryBuffer, *notices: ChangeNotice) -> tuple[list[int], list[int]]:
    """The deliveries whose notices are done with, and those to park."""
    with buffer.reading() as stale:
        applied, to_park = buffer.apply_changes(notices, NOW, stale)
    return [n - 500 for n in applied], [d.id for d in to_park]


def taken(buffer: DeliveryBuffer, now: float = NOW) -> list[int]:
    buffer.release_due(now)
    taken_ids = []
    while one := buffer.take(now):
        taken_ids.append(one.id)
    return taken_ids


# ── what is gone ────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_delivery_leaves_memory() -> None:
    buffer = opened()
    due, later, ordered = delivery(1), delivery(2, next_at=NOW + 5), delivery(3, ORDERED)
    buffer.admit([due, later, ordered, delivery(4)], NOW)
    assert amend(buffer, gone(due), gone(later), gone(ordered)) == ([1, 2, 3], [])
    assert len(buffer) == 1
    assert taken(buffer, NOW + 10) == [4]
    assert buffer.count_by_shard() == {0: 1}


def test_an_ordered_queue_keeps_its_order_when_its_first_is_deleted() -> None:
    buffer = opened()
    buffer.admit([delivery(n, ORDERED, next_at=NOW + HOUR) for n in (1,)], NOW)
    buffer.admit([delivery(n, ORDERED) for n in (2, 3)], NOW)
    assert taken(buffer) == []
    amend(buffer, gone(delivery(1, ORDERED)))
    assert taken(buffer) == [2]


def test_a_cancelled_delivery_does_not_come_back_from_an_open_read() -> None:
    buffer = opened()
    with buffer.reading() as stale:
        amend(buffer, gone(delivery(1)))
        buffer.admit([delivery(1), delivery(2)], NOW, stale)
    assert taken(buffer) == [2]


# ── what is due now ─────────────────────────────────────────────────────────────────────────────


def test_a_delivery_that_is_due_now_comes_first_in_its_queue() -> None:
    buffer = opened()
    buffer.admit([delivery(1), delivery(2), delivery(3, next_at=NOW + 30)], NOW)
    amend(buffer, changed(delivery(3)))
    amend(buffer, changed(delivery(4)))
    assert len(buffer) == 4
    assert taken(buffer, NOW + 60) == [4, 3, 1, 2]


def test_a_delivery_due_now_comes_first_in_a_full_queue_and_is_parked_when_memory_is_full() -> None:
    buffer = opened(depth=2, capacity=3)
    buffer.admit([delivery(1), delivery(2)], NOW)
    assert amend(buffer, changed(delivery(3))) == ([3], [])
    assert amend(buffer, changed(delivery(4))) == ([4], [4])
    buffer.parked.forget(A, buffer.parked.newest)
    amend(buffer, changed(delivery(4)))
    taken(buffer)
    assert buffer.endpoints_needing_refill() == [A]


def test_a_changed_delivery_of_a_stopped_endpoint_is_parked() -> None:
    buffer = opened(stopped=True)
    assert amend(buffer, changed(delivery(1))) == ([1], [1])
    assert len(buffer) == 0


def test_a_delivery_that_became_due_later_waits_until_then() -> None:
    buffer = opened()
    buffer.admit([delivery(1)], NOW)
    amend(buffer, changed(delivery(1, next_at=NOW + 7)))
    assert taken(buffer, NOW + 6) == []
    assert taken(buffer, NOW + 7) == [1]


def test_the_head_of_an_ordered_queue_becomes_due_in_its_place() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED, next_at=NOW + HOUR), delivery(2, ORDERED)], NOW)
    assert taken(buffer) == []
    assert amend(buffer, changed(delivery(2, ORDERED)), changed(delivery(1, ORDERED)))[1] == []
    assert taken(buffer) == [1]


def test_an_ordered_delivery_that_is_only_in_the_table_is_read_in_its_order() -> None:
    buffer = opened()
    with buffer.reading() as stale:
        amend(buffer, changed(delivery(1, ORDERED)))
        # A read that was under way may know of 2 and not of 1.
        buffer.admit([delivery(2, ORDERED)], NOW, stale)
    assert (taken(buffer), buffer.endpoints_needing_refill()) == ([], [ORDERED])
    assert buffer.watermark(0) <= NOW


# ── what is under way ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("landed", [False, True])
def test_a_notice_waits_while_its_delivery_is_in_flight_or_unrecorded(
    landed: bool,
) -> None:
    buffer = opened()
    one = delivery(1)
    buffer.admit([one], NOW)
    assert taken(buffer) == [1]
    if landed:
        buffer.finish_attempt(one)
    assert amend(buffer, changed(one)) == ([], [])
    assert taken(buffer) == []
    buffer.confirm_recorded(one, replace(one, attempt=2, next_at=NOW + 30))
    assert amend(buffer, changed(replace(one, attempt=2))) == ([1], [])
    assert taken(buffer) == [1]


def test_a_notice_read_before_an_attempt_was_recorded_is_stale() -> None:
    buffer = opened()
    one = delivery(1)
    buffer.admit([one], NOW)
    taken(buffer)
    with buffer.reading() as stale:
        buffer.confirm_recorded(one, None)
        assert buffer.apply_changes([changed(one)], NOW, stale) == ([], [])
    assert taken(buffer) == []


def test_a_notice_of_another_shard_is_left_to_its_owner() -> None:
    buffer = opened()
    assert amend(buffer, changed(delivery(1, shard=9))) == ([], [])
    assert len(buffer) == 0


# ── what ended and is sent again ────────────────────────────────────────────────────────────────


def test_a_delivery_resent_while_recording_is_read_afterwards() -> None:
    buffer = opened()
    one = delivery(1, attempt=2)
    buffer.admit([one], NOW)
    taken(buffer)
    again = replace(one, attempt=3, base=3)
    buffer.admit([again], NOW)  # as fan-out made it, quicker than we learned of the end
    assert taken(buffer) == []
    buffer.confirm_recorded(one, None)
    assert buffer.watermark(0) == NOW
    buffer.admit([again], NOW)
    assert taken(buffer) == [1]
