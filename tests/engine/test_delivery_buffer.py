"""What is held in memory: never twice, never beyond its share, and never the only place it is."""

from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.engine.delivery_buffer import DeliveryBuffer
from dispatcher.engine.endpoint_queue import QueueSettings
from dispatcher.engine.endpoint_queues import SHORT_DEPTH, EndpointQueues
from dispatcher.engine.watermarks import NEVER_READ

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
    buffer: DeliveryBuffer, endpoint_id: UUID, *, holding: bool = False, limit: int = 100
) -> list[Delivery]:
    ordered = endpoint_id == ORDERED
    return buffer.configure(
        endpoint_id,
        QueueSettings(
            limit=1 if ordered else limit,
            is_paused=holding,
            is_ordered=ordered,
        ),
    )


def ids(deliveries: list[Delivery]) -> list[int]:
    return [each.id for each in deliveries]


def taken(buffer: DeliveryBuffer, now: float = NOW) -> list[int]:
    found: list[int] = []
    while one := buffer.take(now):
        found.append(one.id)
    return found


# ── coming in ───────────────────────────────────────────────────────────────────────────────────


def test_a_due_delivery_can_be_started_at_once_and_a_later_one_at_its_time() -> None:
    buffer = opened()
    assert buffer.admit([delivery(1), delivery(2, next_at=NOW + 5)], NOW) == []
    assert (len(buffer), taken(buffer)) == (2, [1])
    assert buffer.next_alarm() == NOW + 5
    assert buffer.release_due(NOW + 4.9) == []
    assert taken(buffer, NOW + 4.9) == []
    assert buffer.release_due(NOW + 5) == []
    assert taken(buffer, NOW + 5) == [2]


def test_a_row_read_twice_is_held_once_also_in_flight_and_while_it_is_recorded() -> None:
    buffer = opened()
    for _ in range(2):
        buffer.admit([delivery(1), delivery(2, next_at=NOW + 5)], NOW)
    assert taken(buffer) == [1]
    buffer.admit([delivery(1)], NOW)
    buffer.finish_attempt(delivery(1))
    buffer.admit([delivery(1)], NOW)
    assert taken(buffer) == []
    assert len(buffer) == 2


def test_a_row_settled_while_it_was_being_read_is_out_of_date() -> None:
    buffer = opened()
    one = delivery(1)
    buffer.admit([one], NOW)
    buffer.take(NOW)
    buffer.finish_attempt(one)
    with buffer.reading() as settled, buffer.reading() as also:
        buffer.confirm_recorded(one, None)
        buffer.admit([one], NOW, settled)
        assert also == settled == {1}
    assert taken(buffer) == []
    buffer.confirm_recorded(one, None)
    assert settled == {1}


def test_a_reader_that_ends_leaves_another_that_has_seen_the_same() -> None:
    buffer = opened()
    one = delivery(1)
    buffer.admit([one], NOW)
    buffer.take(NOW)
    with buffer.reading() as longer:
        with buffer.reading():
            pass
        buffer.confirm_recorded(one, None)
        assert longer == {1}


def test_deliveries_of_shards_that_are_not_ours_are_not_taken() -> None:
    buffer = opened(shards=1)
    assert buffer.admit([delivery(1, shard=1)], NOW) == []
    assert (len(buffer), taken(buffer)) == (0, [])


def test_what_a_full_or_holding_lane_refuses_is_to_be_parked_and_its_endpoint_known() -> None:
    buffer = opened(depth=2)
    configure(buffer, B, holding=True)
    to_park = buffer.admit([*(delivery(n) for n in range(4)), delivery(9, B)], NOW)
    assert ids(to_park) == [2, 3, 9]
    assert (len(buffer), taken(buffer)) == (2, [0, 1])
    assert buffer.endpoints_needing_refill() == [A]
    configure(buffer, B)
    assert set(buffer.endpoints_needing_refill()) == {A, B}


def test_one_that_falls_due_when_its_lane_is_full_is_to_be_parked() -> None:
    buffer = opened(depth=1)
    buffer.admit([delivery(n, next_at=NOW + n) for n in (1, 2)], NOW)
    assert ids(buffer.release_due(NOW + 2)) == [2]
    assert len(buffer) == 1


# ── how much ────────────────────────────────────────────────────────────────────────────────────


def test_later_ones_take_half_of_the_memory_and_the_rest_is_read_again_at_its_time() -> None:
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
def test_room_is_told_for_what_is_due_and_for_what_is_not(held: int, room: int, ahead: int) -> None:
    buffer = opened(capacity=16, depth=100)
    buffer.admit([delivery(n) for n in range(held)], NOW)
    assert (buffer.room, buffer.room_for_later) == (room, ahead)


# ── shards ──────────────────────────────────────────────────────────────────────────────────────


def test_a_shard_just_gained_is_unread_and_the_others_stay_as_they_were() -> None:
    buffer = opened(shards=1)
    buffer.own(frozenset({0, 1}))
    assert (buffer.watermark(0), buffer.watermark(1)) == (NOW + 60, NEVER_READ)
    assert set(buffer.owned) == {0, 1}


def test_what_waits_of_a_lost_shard_is_let_go_and_what_is_in_flight_stays_held() -> None:
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
def test_reading_again_only_lowers_a_watermark(since: float, then: float) -> None:
    buffer = opened(shards=1)
    buffer.lower_watermark(0, since)
    buffer.lower_watermark(5, since)
    assert buffer.watermark(0) == then
    assert set(buffer.owned) == {0}


def test_in_doubt_everything_is_read_again() -> None:
    buffer = opened()
    buffer.invalidate_watermarks()
    assert [buffer.watermark(shard) for shard in (0, 1)] == [NEVER_READ] * 2


# ── after an attempt ────────────────────────────────────────────────────────────────────────────


def started(buffer: DeliveryBuffer, one: Delivery) -> Delivery:
    buffer.admit([one], NOW)
    assert buffer.take(NOW) == one
    return one


@pytest.mark.parametrize(("next_at", "held"), [(NOW + 59, 1), (NOW + 60, 0), (NOW + 3600, 0)])
def test_a_retry_is_kept_if_it_will_not_be_read_again_and_forgotten_if_it_will(
    next_at: float, held: int
) -> None:
    buffer = opened()
    one = started(buffer, delivery(1))
    buffer.finish_attempt(one)
    again = delivery(1, next_at=next_at, attempt=1)
    buffer.confirm_recorded(one, again)
    assert len(buffer) == held
    assert buffer.release_due(NOW + 60) == []
    assert buffer.take(NOW + 60) == (again if held else None)


def test_a_retry_that_finds_no_place_is_read_again() -> None:
    buffer = opened(capacity=2)
    buffer.admit([delivery(2, next_at=NOW + 30)], NOW)
    one = started(buffer, delivery(1))
    buffer.confirm_recorded(one, delivery(1, next_at=NOW + 20, attempt=1))
    assert (len(buffer), buffer.watermark(0)) == (1, NOW + 20)


def test_a_retry_of_a_shard_lost_meanwhile_is_its_new_owners() -> None:
    buffer = opened()
    one = started(buffer, delivery(1, shard=1))
    buffer.own(frozenset({0}))
    buffer.confirm_recorded(one, delivery(1, shard=1, next_at=NOW, attempt=1))
    assert len(buffer) == 0


def test_a_place_is_free_when_the_attempt_is_over_not_only_when_it_is_recorded() -> None:
    buffer = opened(limit=1)
    buffer.admit([delivery(1), delivery(2)], NOW)
    assert taken(buffer) == [1]
    buffer.finish_attempt(delivery(1))
    assert taken(buffer) == [2]


def test_one_given_back_is_read_again_wherever_its_row_is() -> None:
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


def test_one_that_was_superseded_is_read_again_whenever_it_may_be_due() -> None:
    buffer = opened()
    one = started(buffer, delivery(1))
    buffer.finish_attempt(one)
    with buffer.reading() as settled:
        buffer.discard_stale(one)
    assert (len(buffer), buffer.watermark(0), buffer.endpoints_needing_refill(), settled) == (
        0,
        NEVER_READ,
        [A],
        {1},
    )


def test_those_that_could_not_be_parked_are_read_again() -> None:
    buffer = opened(depth=1)
    to_park = buffer.admit([delivery(1), delivery(2, next_at=NOW - 7)], NOW)
    buffer.requeue_unread(to_park)
    assert buffer.watermark(0) == NOW - 7


# ── ordered endpoints ───────────────────────────────────────────────────────────────────────────


def test_an_ordered_retry_goes_back_to_the_head_and_blocks_the_rest_until_its_time() -> None:
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


@pytest.mark.parametrize("how", ["give_back", "discard_stale"])
def test_an_ordered_lane_begins_again_from_its_first_when_that_one_went_back(how: str) -> None:
    buffer = opened()
    buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW)
    one = buffer.take(NOW)
    assert one is not None
    getattr(buffer, how)(one)
    assert (len(buffer), buffer.endpoints_needing_refill(), taken(buffer)) == (0, [ORDERED], [])
    buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW)
    assert taken(buffer) == [1]


def test_an_ordered_lane_that_begins_again_takes_nothing_read_before() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = buffer.take(NOW)
    assert one is not None
    with buffer.reading() as settled:
        buffer.discard_stale(one)  # what became of it is only in the table
        buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW, settled)
    assert (taken(buffer), buffer.endpoints_needing_refill()) == ([], [ORDERED])
    buffer.admit([delivery(1, ORDERED, next_at=NOW + 5), delivery(2, ORDERED)], NOW)
    assert taken(buffer) == []
    assert taken(buffer, NOW + 5) == [1]


def test_an_ordered_retry_that_comes_back_to_a_held_lane_makes_reads_under_way_worthless() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = buffer.take(NOW)
    assert one is not None
    with buffer.reading() as settled:
        configure(buffer, ORDERED, holding=True)
        buffer.confirm_recorded(one, delivery(1, ORDERED, attempt=1))
        configure(buffer, ORDERED)
        buffer.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW, settled)
    assert (taken(buffer), buffer.endpoints_needing_refill()) == ([], [ORDERED])


# ── endpoints ───────────────────────────────────────────────────────────────────────────────────


def test_an_endpoint_that_comes_to_hold_has_its_waiting_ones_parked_and_fetched_when_it_resumes() -> (
    None
):
    buffer = opened()
    buffer.admit([delivery(1), delivery(2), delivery(3, next_at=NOW + 5)], NOW)
    one = buffer.take(NOW)
    assert ids(configure(buffer, A, holding=True)) == [2]
    assert ids(buffer.release_due(NOW + 5)) == [3]
    assert one is not None
    buffer.confirm_recorded(one, None)
    assert (len(buffer), buffer.endpoints_needing_refill()) == (0, [])
    assert configure(buffer, A) == []
    assert buffer.endpoints_needing_refill() == [A]


def test_an_endpoint_is_hungry_when_half_of_its_lane_is_empty() -> None:
    buffer = opened(depth=10)
    buffer.note_parked([A])
    buffer.admit([delivery(n) for n in range(5)], NOW)
    assert buffer.endpoints_needing_refill() == []
    buffer.take(NOW)
    assert buffer.endpoints_needing_refill() == [A]
    buffer.clear_parked(A)
    assert buffer.endpoints_needing_refill() == []


def test_an_endpoint_gets_hungry_once_when_what_is_taken_leaves_half_of_its_lane() -> None:
    buffer = opened(depth=10)
    buffer.admit([delivery(n) for n in range(10)], NOW)

    def taken_until_hungry() -> list[bool]:
        delivery = buffer.take(NOW)
        assert delivery is not None
        buffer.finish_attempt(delivery)
        return [buffer.just_needs_refill(A), A in buffer.endpoints_needing_refill()]

    assert taken_until_hungry() == [False, False]
    buffer.note_parked([A])
    told = [taken_until_hungry() for _ in range(9)]
    assert [got for got, _ in told] == [False] * 4 + [True] + [False] * 4
    assert [hungry for _, hungry in told] == [False] * 4 + [True] * 5


def test_lanes_are_forgotten_only_when_nothing_in_memory_is_owed_to_them() -> None:
    buffer = opened()
    buffer.admit([delivery(1, A, next_at=NOW + 5), delivery(2, B)], NOW)
    assert buffer.forget([A, B, ORDERED]) == [ORDERED]
    one = buffer.take(NOW)
    assert buffer.forget([B]) == []
    assert one is not None
    buffer.confirm_recorded(one, None)
    assert buffer.forget([A, B]) == [B]


def test_the_repr_counts() -> None:
    buffer = opened()
    buffer.admit([delivery(1)], NOW)
    buffer.note_parked([B])
    assert repr(buffer) == (
        "<DeliveryBuffer 1 of 100 held, <RetryHeap 0 of 50, nothing>, <EndpointQueues 3: 1 waiting, 0 in flight>,"
        " 1 endpoints with parked ones>"
    )


def test_one_that_was_never_tried_is_due_whatever_our_idea_of_the_time_is() -> None:
    buffer = opened()
    buffer.admit([delivery(1, attempt=0, next_at=NOW + 0.01)], NOW)
    assert taken(buffer) == [1]


# ── a clock that was set back ───────────────────────────────────────────────────────────────────


def test_what_waits_for_its_time_keeps_its_distance_when_the_clock_is_set_back() -> None:
    buffer = opened()
    buffer.admit([delivery(1, next_at=NOW + 10), delivery(2, B, next_at=NOW + 30)], NOW)
    buffer.set_back(500.0)
    assert buffer.watermark(0) == NEVER_READ
    assert buffer.next_alarm() == NOW - 490
    buffer.release_due(NOW - 490)
    assert taken(buffer, NOW - 490) == [1]
    buffer.release_due(NOW - 470)
    assert taken(buffer, NOW - 470) == [2]


def test_an_ordered_lane_and_one_at_rest_go_on_in_time_when_the_clock_is_set_back() -> None:
    buffer = opened()
    buffer.admit([delivery(1, ORDERED, next_at=NOW + 10), delivery(2, B)], NOW)
    buffer._queues.pause(B, NOW + 5)
    assert taken(buffer) == []
    buffer.set_back(500.0)
    assert taken(buffer, NOW - 496) == []
    assert buffer.next_alarm() == NOW - 495
    assert taken(buffer, NOW - 495) == [2]
    assert taken(buffer, NOW - 490) == [1]


def test_what_was_due_stays_due_when_the_clock_is_set_back() -> None:
    buffer = opened()
    buffer.admit([delivery(1), delivery(2)], NOW)
    assert buffer.take(NOW) is not None
    buffer.set_back(500.0)
    assert taken(buffer, NOW - 500) == [2]
