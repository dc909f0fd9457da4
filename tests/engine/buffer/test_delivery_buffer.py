"""The delivery buffer: no delivery is in memory twice, and none is in memory only."""

from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import SHORT_DEPTH, EndpointQueues
from dispatcher.engine.buffer.watermarks import NEVER_READ

A, B, ORDERED = (UUID(int=n) for n in (1, 2, 3))
NOW = 1000.0


def delivery(
    number: int,
    endpoint_id: UUID = A,
    *,
    shard: int = 0,
    next_at: float = NOW,
    attempt: int = 1,
) -> Delivery:
    return Delivery(number, number, endpoint_id, shard, attempt, 0, next_at)


def opened(
    *, capacity: int = 100, depth: int = 10, shards: int = 2, limit: int = 100
) -> DeliveryBuffer:
    """Memory of a daemon that owns the first shards, everything in them read a minute ahead."""
    buffer = DeliveryBuffer(capacity=capacity, queues=EndpointQueues(depth))
    buffer.own(frozenset(range(shards)))
    for shard in range(shards):
        buffer.raise_watermark(shard, NOW + 60)
    for endpoint_id in (A, B, ORDERED):
        configure(buffer, endpoint_id, limit=limit)
    return buffer


def configure(
    buffer: DeliveryBuffer, endpoint_id: UUID, *, stopped: bool = False, limit: int = 100
) -> list[Delivery]:
    ordered = endpoint_id == ORDERED
    return buffer.configure(
        endpoint_id,
        QueueSettings(
            limit=1 if ordered else limit,
            is_stopped=stopped,
            is_ordered=ordered,
        ),
    )


def ids(deliveries: list[Delivery]) -> list[int]:
    return [one.id for one in deliveries]


def taken(buffer: DeliveryBuffer, now: float = NOW) -> list[int]:
    taken_ids: list[int] = []
    while one := buffer.take(now):
        taken_ids.append(one.id)
    return taken_ids


# ── coming in ───────────────────────────────────────────────────────────────────────────────────


def test_a_due_delivery_starts_at_once_and_a_later_one_at_its_time() -> None:
    buffer = opened()
    assert buffer.admit([delivery(1), delivery(2, next_at=NOW + 5)], NOW) == []
    assert (len(buffer), taken(buffer)) == (2, [1])
    assert buffer.next_alarm() == NOW + 5
    assert buffer.release_due(NOW + 4.9) == []
    assert taken(buffer, NOW + 4.9) == []
    assert buffer.release_due(NOW + 5) == []
    assert taken(buffer, NOW + 5) == [2]


def test_a_row_read_twice_is_in_memory_once_until_it_is_recorded() -> None:
    buffer = opened()
    for _ in range(2):
        buffer.admit([delivery(1), delivery(2, next_at=NOW + 5)], NOW)
    assert taken(buffer) == [1]
    buffer.admit([delivery(1)], NOW)
    buffer.finish_attempt(delivery(1))
    buffer.admit([delivery(1)], NOW)
    assert taken(buffer) == []
    assert len(buffer) == 2


def test_a_row_recorded_during_its_read_is_stale() -> None:
    buffer = opened()
    one = delivery(1)
    buffer.admit([one], NOW)
    buffer.take(NOW)
    buffer.finish_attempt(one)
    with buffer.reading() as stale, buffer.reading() as also:
        buffer.confirm_recorded(one, None)
        buffer.admit([one], NOW, stale)
        assert also == stale == {1}
    assert taken(buffer) == []
    buffer.confirm_recorded(one, None)
    assert stale == {1}


def test_a_read_that_ends_leaves_another_with_equal_content() -> None:
    buffer = opened()
    one = delivery(1)
    buffer.admit([one], NOW)
    buffer.take(NOW)
    with buffer.reading() as longer:
        with buffer.reading():
            pass
        buffer.confirm_recorded(one, None)
        assert longer == {1}


def test_deliveries_of_other_shards_are_not_admitted() -> None:
    buffer = opened(shards=1)
    assert buffer.admit([delivery(1, shard=1)], NOW) == []
    assert (len(buffer), taken(buffer)) == (0, [])


def test_deliveries_that_a_full_or_stopped_queue_refuses_are_to_be_parked() -> None:
    buffer = opened(depth=2)
    configure(buffer, B, stopped=True)
    to_park = buffer.admit([*(delivery(n) for n in range(4)), delivery(9, B)], NOW)
    assert ids(to_park) == [2, 3, 9]
    assert (len(buffer), taken(buffer)) == (2, [0, 1])
    assert buffer.endpoints_needing_refill() == [A]
    configure(buffer, B)
    assert set(buffer.endpoints_needing_refill()) == {A, B}


def test_a_delivery_that_comes_due_while_its_queue_is_full_is_to_be_parked() -> None:
    buffer = opened(depth=1)
    buffer.admit([delivery(n, next_at=NOW + n) for n in (1, 2)], NOW)
    assert ids(buffer.release_due(NOW + 2)) == [2]
    assert len(buffer) == 1


# ── how much ────────────────────────────────────────────────────────────────────────────────────


def test_later_deliveries_take_half_of_the_memory() -> None:
    buffer = opened(capacity=4)
    buffer.admit([delivery(n, next_at=NOW + n) for n in range(1, 5)], NOW)
    assert len(buffer) == 2
    assert buffer.watermark(0) == NOW + 3
    assert buffer.watermark(1) == NOW + 60


def test_when_memory_is_full_each_endpoint_still_has_a_short_queue() -> None:
    buffer = opened(capacity=50, depth=1000)
    to_park = buffer.admit([delivery(n) for n in range(100)], NOW)
    assert ids(to_park) == list(range(50, 100))
    assert buffer.room == 0
    assert (buffer.room_for(A), buffer.room_for(B)) == (0, SHORT_DEPTH)
    to_park = buffer.admit([delivery(n, B) for n in range(100, 200)], NOW)
    assert len(to_park) == 100 - SHORT_DEPTH
    assert buffer.endpoints_without_room(1) == [A, B]


@pytest.mark.parametrize(
    ("held", "room", "ahead"), [(0, 16, 8), (10, 6, 6), (14, 2, 2), (15, 1, 0), (16, 0, 0)]
)
def test_there_is_room_for_due_and_for_later_deliveries(held: int, room: int, ahead: int) -> None:
    buffer = opened(capacity=16, depth=100)
    buffer.admit([delivery(n) for n in range(held)], NOW)
    assert (buffer.room, buffer.room_for_later) == (room, ahead)


# ── shards ──────────────────────────────────────────────────────────────────────────────────────


def test_a_new_shard_is_unread_and_the_others_keep_their_watermarks() -> None:
    buffer = opened(shards=1)
    buffer.own(frozenset({0, 1}))
    assert (buffer.watermark(0), buffer.watermark(1)) == (NOW + 60, NEVER_READ)
    assert set(buffer.owned) == {0, 1}


def test_waiting_deliveries_of_a_lost_shard_leave_and_those_in_flight_stay() -> None:
    buffer = opened()
    waiting = [delivery(1, shard=1), delivery(2, shard=1), delivery(3, shard=1, next_at=NOW + 5)]
    buffer.admit([*waiting, delivery(4)], NOW)
    assert buffer.take(NOW) == waiting[0]
    buffer.own(frozenset({0}))
    assert buffer.count_by_shard() == {1: 1, 0: 1}
    assert taken(buffer) == [4]
    buffer.own(frozenset({0, 1}))
    assert buffer.admit(waiting, NOW) == []
    assert taken(buffer) == [2]


@pytest.mark.parametrize(
    ("since", "then"), [(NOW + 5, NOW + 5), (NOW + 90, NOW + 60), (NEVER_READ, NEVER_READ)]
)
def test_lowering_never_raises_a_watermark(since: float, then: float) -> None:
    buffer = opened(shards=1)
    buffer.lower_watermark(0, since)
    buffer.lower_watermark(5, since)
    assert buffer.watermark(0) == then
    assert set(buffer.owned) == {0}


def test_invalid_watermarks_make_every_shard_unread() -> None:
    buffer = opened()
    buffer.invalidate_watermarks()
    assert [buffer.watermark(shard) for shard in (0, 1)] == [NEVER_READ] * 2


# ── after an attempt ────────────────────────────────────────────────────────────────────────────


def started(buffer: DeliveryBuffer, one: Delivery) -> Delivery:
    buffer.admit([one], NOW)
    assert buffer.take(NOW) == one
    return one


@pytest.mark.parametrize(("next_at", "held"), [(NOW + 59, 1), (NOW + 60, 0), (NOW + 3600, 0)])
def test_a_retry_stays_in_memory_only_if_no_read_will_find_it(next_at: float, held: int) -> None:
    buffer = opened()
    one = started(buffer, delivery(1))
    buffer.finish_attempt(one)
    again = delivery(1, next_at=next_at, attempt=1)
    buffer.confirm_recorded(one, again)
    assert len(buffer) == held
    assert buffer.release_due(NOW + 60) == []
    assert buffer.take(NOW + 60) == (again if held else None)


def test_a_retry_without_room_is_read_again() -> None:
    buffer = opened(capacity=2)
    buffer.admit([delivery(2, next_at=NOW + 30)], NOW)
    one = started(buffer, delivery(1))
    buffer.confirm_recorded(one, delivery(1, next_at=NOW + 20, attempt=1))
    assert (len(buffer), buffer.watermark(0)) == (1, NOW + 20)


def test_a_retry_of_a_shard_lost_during_the_attempt_is_dropped() -> None:
    buffer = opened()
    one = started(buffer, delivery(1, shard=1))
    buffer.own(frozenset({0}))
    buffer.confirm_recorded(one, delivery(1, shard=1, next_at=NOW, attempt=1))
    assert len(buffer) == 0


def test_a_slot_is_free_before_the_attempt_is_recorded() -> None:
    buffer = opened(limit=1)
    buffer.admit([delivery(1), delivery(2)], NOW)
    assert taken(buffer) == [1]
    buffer.finish_attempt(delivery(1))
    assert taken(buffer) == [2]


def test_a_delivery_given_back_is_read_again() -> None:
    buffer = opened()
    one = started(buffer, delivery(1, next_at=NOW - 3))
    buffer.give_back(one)
    assert (len(buffer), buffer.watermark(0), buffer.endpoints_needing_refill()) == (
        0,
        NOW - 3,
        [A],
    )
    assert buffer.admit([one], NOW) == []
    assert taken(buffer) == [1]


def test_a_delivery_with_a_late_result_is_read_again_whenever_it_is_due() -> None:
    buffer = opened()
    one = started(buffer, delivery(1))
    buffer.finish_attempt(one)
    with buffer.reading() as stale:
        buffer.note_late(one)
    assert (len(buffer), buffer.watermark(0), buffer.endpoints_needing_refill(), stale) == (
        0,
        NEVER_READ,
        [A],
        {1},
    )


def test_deliveries_that_could_not_be_parked_are_read_again() -> None:
    buffer = opened(depth=1)
    to_park = buffer.admit([delivery(1), delivery(2, next_at=NOW - 7)], NOW)
    buffer.requeue_unread(to_park)
    assert buffer.watermark(0) == NOW - 7


# ── ordered endpoints ───────────────────────────────────────────────────────────────────────────


def test_an_ordered_retry_goes_to_the_head_and_blocks_the_rest() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = buffer.take(NOW)
    assert one is not None
    buffer.finish_attempt(one)
    assert buffer.take(NOW) is None
    buffer.confirm_recorded(one, delivery(1, ORDERED, next_at=NOW + 500, attempt=1))
    assert taken(buffer, NOW + 499) == []
    assert buffer.next_alarm() == NOW + 500
    assert taken(buffer, NOW + 500) == [1]


@pytest.mark.parametrize("how", ["give_back", "note_late"])
def test_an_ordered_queue_starts_again_with_its_first_row(how: str) -> None:
    buffer = opened()
    buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW)
    one = buffer.take(NOW)
    assert one is not None
    getattr(buffer, how)(one)
    assert (len(buffer), buffer.endpoints_needing_refill(), taken(buffer)) == (0, [ORDERED], [])
    buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW)
    assert taken(buffer) == [1]


def test_an_ordered_queue_that_starts_again_ignores_earlier_reads() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = buffer.take(NOW)
    assert one is not None
    with buffer.reading() as stale:
        buffer.note_late(one)  # what became of it is only in the table
        buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW, stale)
    assert (taken(buffer), buffer.endpoints_needing_refill()) == ([], [ORDERED])
    buffer.admit([delivery(1, ORDERED, next_at=NOW + 5), delivery(2, ORDERED)], NOW)
    assert taken(buffer) == []
    assert taken(buffer, NOW + 5) == [1]


def test_an_ordered_retry_to_a_stopped_queue_makes_open_reads_stale() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = buffer.take(NOW)
    assert one is not None
    with buffer.reading() as stale:
        configure(buffer, ORDERED, stopped=True)
        buffer.confirm_recorded(one, delivery(1, ORDERED, attempt=1))
        configure(buffer, ORDERED)
        buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW, stale)
    assert (taken(buffer), buffer.endpoints_needing_refill()) == ([], [ORDERED])


# ── endpoints ───────────────────────────────────────────────────────────────────────────────────


def test_a_stopped_endpoint_is_parked_and_refilled_when_it_resumes() -> None:
    buffer = opened()
    buffer.admit([delivery(1), delivery(2), delivery(3, next_at=NOW + 5)], NOW)
    one = buffer.take(NOW)
    assert ids(configure(buffer, A, stopped=True)) == [2]
    assert ids(buffer.release_due(NOW + 5)) == [3]
    assert one is not None
    buffer.confirm_recorded(one, None)
    assert (len(buffer), buffer.endpoints_needing_refill()) == (0, [])
    assert configure(buffer, A) == []
    assert buffer.endpoints_needing_refill() == [A]


def test_an_endpoint_needs_a_refill_when_half_of_its_queue_is_empty() -> None:
    buffer = opened(depth=10)
    buffer.parked.note([A])
    buffer.admit([delivery(n) for n in range(5)], NOW)
    assert buffer.endpoints_needing_refill() == []
    buffer.take(NOW)
    assert buffer.endpoints_needing_refill() == [A]
    buffer.parked.forget(A, buffer.parked.newest)
    assert buffer.endpoints_needing_refill() == []


def test_a_read_clears_no_endpoint_whose_rows_were_parked_after_it_began() -> None:
    buffer = opened()
    buffer.parked.note([A, B])
    began = buffer.parked.newest
    buffer.parked.note([A])
    for endpoint in (A, B):
        buffer.parked.forget(endpoint, began)
    assert buffer.endpoints_needing_refill() == [A]
    buffer.parked.forget(A, buffer.parked.newest)
    assert buffer.endpoints_needing_refill() == []


def test_an_endpoint_just_needs_a_refill_once() -> None:
    buffer = opened(depth=10)
    buffer.admit([delivery(n) for n in range(10)], NOW)

    def take_and_ask() -> list[bool]:
        delivery = buffer.take(NOW)
        assert delivery is not None
        buffer.finish_attempt(delivery)
        return [buffer.just_needs_refill(A), A in buffer.endpoints_needing_refill()]

    assert take_and_ask() == [False, False]
    buffer.parked.note([A])
    steps = [take_and_ask() for _ in range(9)]
    assert [got for got, _ in steps] == [False] * 4 + [True] + [False] * 4
    assert [hungry for _, hungry in steps] == [False] * 4 + [True] * 5


def test_queues_are_forgotten_only_without_deliveries_in_memory() -> None:
    buffer = opened()
    buffer.admit([delivery(1, A, next_at=NOW + 5), delivery(2, B)], NOW)
    assert buffer.forget([A, B, ORDERED]) == [ORDERED]
    one = buffer.take(NOW)
    assert buffer.forget([B]) == []
    assert one is not None
    buffer.confirm_recorded(one, None)
    assert buffer.forget([A, B]) == [B]


def test_the_repr_shows_how_many_deliveries_are_in_memory() -> None:
    buffer = opened()
    buffer.admit([delivery(1)], NOW)
    buffer.parked.note([B])
    assert repr(buffer) == (
        "<DeliveryBuffer 1 of 100 in memory, <RetryHeap 0 of 50, nothing>, <EndpointQueues 3: 1 waiting, 0 in flight>,"
        " 1 endpoints with parked ones>"
    )


def test_a_delivery_without_attempts_is_due_at_any_time() -> None:
    buffer = opened()
    buffer.admit([delivery(1, attempt=0, next_at=NOW + 0.01)], NOW)
    assert taken(buffer) == [1]


# ── a clock that was set back ───────────────────────────────────────────────────────────────────


def test_a_later_delivery_keeps_its_delay_when_the_clock_is_set_back() -> None:
    buffer = opened()
    buffer.admit([delivery(1, next_at=NOW + 10), delivery(2, B, next_at=NOW + 30)], NOW)
    buffer.set_back(500.0)
    assert buffer.watermark(0) == NEVER_READ
    assert buffer.next_alarm() == NOW - 490
    buffer.release_due(NOW - 490)
    assert taken(buffer, NOW - 490) == [1]
    buffer.release_due(NOW - 470)
    assert taken(buffer, NOW - 470) == [2]


def test_ordered_and_resting_queues_keep_their_delays_when_the_clock_is_set_back() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED, next_at=NOW + 10), delivery(2, B)], NOW)
    buffer._queues.rest(B, NOW + 5)
    assert taken(buffer) == []
    buffer.set_back(500.0)
    assert taken(buffer, NOW - 496) == []
    assert buffer.next_alarm() == NOW - 495
    assert taken(buffer, NOW - 495) == [2]
    assert taken(buffer, NOW - 490) == [1]


def test_a_due_delivery_stays_due_when_the_clock_is_set_back() -> None:
    buffer = opened()
    buffer.admit([delivery(1), delivery(2)], NOW)
    assert buffer.take(NOW) is not None
    buffer.set_back(500.0)
    assert taken(buffer, NOW - 500) == [2]


def test_an_ordered_delivery_without_attempts_is_due_at_once_whatever_its_time() -> None:
    """It was made before the clock was set back, and read before its row was moved."""
    buffer = opened()
    buffer.set_back(500.0)
    buffer.admit([delivery(1, ORDERED, next_at=NOW + 499, attempt=0)], NOW)
    assert taken(buffer) == [1]


def test_what_was_read_before_its_row_was_moved_is_read_again() -> None:
    buffer = opened(shards=3)
    old = [delivery(1, next_at=NOW + 50), delivery(2, ORDERED, next_at=NOW + 500, shard=1)]
    elsewhere = delivery(3, B, next_at=NOW + 50, shard=2)
    buffer.admit([*old, elsewhere], NOW)
    with buffer.reading() as stale:
        buffer.read_again({0, 1})
        buffer.admit([old[1]], NOW, stale)
    assert [1 in buffer, 2 in buffer, 3 in buffer] == [False, False, True]
    assert [buffer.watermark(shard) for shard in range(3)] == [NEVER_READ] * 3
    assert buffer.endpoints_needing_refill() == [ORDERED, A]
    buffer.admit([delivery(1, next_at=NOW), delivery(2, ORDERED, next_at=NOW, shard=1)], NOW)
    assert sorted(taken(buffer)) == [1, 2]


def test_what_is_under_way_stays_in_memory_when_rows_are_read_again() -> None:
    buffer = opened()
    buffer.admit([delivery(1), delivery(2, ORDERED), delivery(3, ORDERED)], NOW)
    assert taken(buffer) == [1, 2]
    buffer.read_again({0})
    assert [1 in buffer, 2 in buffer, 3 in buffer] == [True, True, False]
    buffer.admit([delivery(2, ORDERED), delivery(3, ORDERED)], NOW)
    assert taken(buffer) == []
    buffer.confirm_recorded(delivery(2, ORDERED), None)
    assert taken(buffer) == [3]


def test_no_queue_takes_the_memory_that_others_need() -> None:
    buffer = DeliveryBuffer(capacity=90, queues=EndpointQueues(10, share=0.5))
    buffer.own(frozenset([0]))
    for endpoint_id in (A, B):
        configure(buffer, endpoint_id)
    to_park = buffer.admit([delivery(n, A) for n in range(90)], NOW)
    assert len(to_park) == 90 - 30  # a third is half of what is left
    assert buffer.admit([delivery(n, B) for n in range(100, 120)], NOW) == []
    assert buffer.endpoints_without_room(1) == [A, B]
