"""What is held in memory: never twice, never beyond its share, and never the only place it is."""

from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.engine.delivery_buffer import NEVER_READ, Pending
from dispatcher.engine.endpoint_queues import SHORT, Lanes

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


def opened(*, capacity: int = 100, depth: int = 10, shards: int = 2, limit: int = 100) -> Pending:
    """Memory of a daemon that owns the first shards, everything in them read a minute ahead."""
    pending = Pending(capacity=capacity, lanes=Lanes(depth))
    pending.own(frozenset(range(shards)))
    for shard in range(shards):
        pending.raise_watermark(shard, NOW + 60)
    for endpoint_id in (A, B, ORDERED):
        configure(pending, endpoint_id, limit=limit)
    return pending


def configure(
    pending: Pending, endpoint_id: UUID, *, holding: bool = False, limit: int = 100
) -> list[Delivery]:
    ordered = endpoint_id == ORDERED
    return pending.configure(
        endpoint_id,
        limit=1 if ordered else limit,
        holding=holding,
        ordered=ordered,
        paused_until=0.0,
    )


def ids(deliveries: list[Delivery]) -> list[int]:
    return [each.id for each in deliveries]


def taken(pending: Pending, now: float = NOW) -> list[int]:
    found: list[int] = []
    while one := pending.take(now):
        found.append(one.id)
    return found


# ── coming in ───────────────────────────────────────────────────────────────────────────────────


def test_a_due_delivery_can_be_started_at_once_and_a_later_one_at_its_time() -> None:
    pending = opened()
    assert pending.admit([delivery(1), delivery(2, next_at=NOW + 5)], NOW) == []
    assert (len(pending), taken(pending)) == (2, [1])
    assert pending.next_alarm() == NOW + 5
    assert pending.tick(NOW + 4.9) == []
    assert taken(pending, NOW + 4.9) == []
    assert pending.tick(NOW + 5) == []
    assert taken(pending, NOW + 5) == [2]


def test_a_row_read_twice_is_held_once_also_in_flight_and_while_it_is_recorded() -> None:
    pending = opened()
    for _ in range(2):
        pending.admit([delivery(1), delivery(2, next_at=NOW + 5)], NOW)
    assert taken(pending) == [1]
    pending.admit([delivery(1)], NOW)
    pending.land(delivery(1))
    pending.admit([delivery(1)], NOW)
    assert taken(pending) == []
    assert len(pending) == 2


def test_a_row_settled_while_it_was_being_read_is_out_of_date() -> None:
    pending = opened()
    one = delivery(1)
    pending.admit([one], NOW)
    pending.take(NOW)
    pending.land(one)
    with pending.reading() as settled, pending.reading() as also:
        pending.settle(one, None)
        pending.admit([one], NOW, settled)
        assert also == settled == {1}
    assert taken(pending) == []
    pending.settle(one, None)
    assert settled == {1}


def test_a_reader_that_ends_leaves_another_that_has_seen_the_same() -> None:
    pending = opened()
    one = delivery(1)
    pending.admit([one], NOW)
    pending.take(NOW)
    with pending.reading() as longer:
        with pending.reading():
            pass
        pending.settle(one, None)
        assert longer == {1}


def test_deliveries_of_shards_that_are_not_ours_are_not_taken() -> None:
    pending = opened(shards=1)
    assert pending.admit([delivery(1, shard=1)], NOW) == []
    assert (len(pending), taken(pending)) == (0, [])


def test_what_a_full_or_holding_lane_refuses_is_to_be_parked_and_its_endpoint_known() -> None:
    pending = opened(depth=2)
    configure(pending, B, holding=True)
    to_park = pending.admit([*(delivery(n) for n in range(4)), delivery(9, B)], NOW)
    assert ids(to_park) == [2, 3, 9]
    assert (len(pending), taken(pending)) == (2, [0, 1])
    assert pending.hungry() == [A]
    configure(pending, B)
    assert set(pending.hungry()) == {A, B}


def test_one_that_falls_due_when_its_lane_is_full_is_to_be_parked() -> None:
    pending = opened(depth=1)
    pending.admit([delivery(n, next_at=NOW + n) for n in (1, 2)], NOW)
    assert ids(pending.tick(NOW + 2)) == [2]
    assert len(pending) == 1


# ── how much ────────────────────────────────────────────────────────────────────────────────────


def test_later_ones_take_half_of_the_memory_and_the_rest_is_read_again_at_its_time() -> None:
    pending = opened(capacity=4)
    pending.admit([delivery(n, next_at=NOW + n) for n in range(1, 5)], NOW)
    assert len(pending) == 2
    assert pending.watermark(0) == NOW + 3
    assert pending.watermark(1) == NOW + 60


def test_when_memory_is_full_each_endpoint_still_has_a_short_queue() -> None:
    pending = opened(capacity=50, depth=1000)
    to_park = pending.admit([delivery(n) for n in range(100)], NOW)
    assert ids(to_park) == list(range(50, 100))
    assert pending.room == 0
    assert (pending.room_for(A), pending.room_for(B)) == (0, SHORT)
    to_park = pending.admit([delivery(n, B) for n in range(100, 200)], NOW)
    assert len(to_park) == 100 - SHORT
    assert pending.saturated(1) == [A, B]


@pytest.mark.parametrize(
    ("held", "room", "ahead"), [(0, 16, 8), (10, 6, 6), (14, 2, 2), (15, 1, 0), (16, 0, 0)]
)
def test_room_is_told_for_what_is_due_and_for_what_is_not(held: int, room: int, ahead: int) -> None:
    pending = opened(capacity=16, depth=100)
    pending.admit([delivery(n) for n in range(held)], NOW)
    assert (pending.room, pending.room_ahead) == (room, ahead)


# ── shards ──────────────────────────────────────────────────────────────────────────────────────


def test_a_shard_just_gained_is_unread_and_the_others_stay_as_they_were() -> None:
    pending = opened(shards=1)
    pending.own(frozenset({0, 1}))
    assert (pending.watermark(0), pending.watermark(1)) == (NOW + 60, NEVER_READ)
    assert set(pending.owned) == {0, 1}


def test_what_waits_of_a_lost_shard_is_let_go_and_what_is_in_flight_stays_held() -> None:
    pending = opened()
    waiting = [delivery(1, shard=1), delivery(2, shard=1), delivery(3, shard=1, next_at=NOW + 5)]
    pending.admit([*waiting, delivery(4)], NOW)
    assert pending.take(NOW) == waiting[0]
    pending.own(frozenset({0}))
    assert pending.held_by_shard() == {1: 1, 0: 1}
    assert taken(pending) == [4]
    pending.own(frozenset({0, 1}))
    assert pending.admit(waiting, NOW) == []
    assert taken(pending) == [2]


@pytest.mark.parametrize(
    ("since", "then"), [(NOW + 5, NOW + 5), (NOW + 90, NOW + 60), (NEVER_READ, NEVER_READ)]
)
def test_reading_again_only_lowers_a_watermark(since: float, then: float) -> None:
    pending = opened(shards=1)
    pending.read_again(0, since)
    pending.read_again(5, since)
    assert pending.watermark(0) == then
    assert set(pending.owned) == {0}


def test_in_doubt_everything_is_read_again() -> None:
    pending = opened()
    pending.doubt()
    assert [pending.watermark(shard) for shard in (0, 1)] == [NEVER_READ] * 2


# ── after an attempt ────────────────────────────────────────────────────────────────────────────


def started(pending: Pending, one: Delivery) -> Delivery:
    pending.admit([one], NOW)
    assert pending.take(NOW) == one
    return one


@pytest.mark.parametrize(("next_at", "held"), [(NOW + 59, 1), (NOW + 60, 0), (NOW + 3600, 0)])
def test_a_retry_is_kept_if_it_will_not_be_read_again_and_forgotten_if_it_will(
    next_at: float, held: int
) -> None:
    pending = opened()
    one = started(pending, delivery(1))
    pending.land(one)
    again = delivery(1, next_at=next_at, attempt=1)
    pending.settle(one, again)
    assert len(pending) == held
    assert pending.tick(NOW + 60) == []
    assert pending.take(NOW + 60) == (again if held else None)


def test_a_retry_that_finds_no_place_is_read_again() -> None:
    pending = opened(capacity=2)
    pending.admit([delivery(2, next_at=NOW + 30)], NOW)
    one = started(pending, delivery(1))
    pending.settle(one, delivery(1, next_at=NOW + 20, attempt=1))
    assert (len(pending), pending.watermark(0)) == (1, NOW + 20)


def test_a_retry_of_a_shard_lost_meanwhile_is_its_new_owners() -> None:
    pending = opened()
    one = started(pending, delivery(1, shard=1))
    pending.own(frozenset({0}))
    pending.settle(one, delivery(1, shard=1, next_at=NOW, attempt=1))
    assert len(pending) == 0


def test_a_place_is_free_when_the_attempt_is_over_not_only_when_it_is_recorded() -> None:
    pending = opened(limit=1)
    pending.admit([delivery(1), delivery(2)], NOW)
    assert taken(pending) == [1]
    pending.land(delivery(1))
    assert taken(pending) == [2]


def test_one_given_back_is_read_again_wherever_its_row_is() -> None:
    pending = opened()
    one = started(pending, delivery(1, next_at=NOW - 3))
    pending.give_back(one)
    assert (len(pending), pending.watermark(0), pending.hungry()) == (0, NOW - 3, [A])
    assert pending.admit([one], NOW) == []
    assert taken(pending) == [1]


def test_one_that_was_superseded_is_read_again_whenever_it_may_be_due() -> None:
    pending = opened()
    one = started(pending, delivery(1))
    pending.land(one)
    with pending.reading() as settled:
        pending.lose(one)
    assert (len(pending), pending.watermark(0), pending.hungry(), settled) == (
        0,
        NEVER_READ,
        [A],
        {1},
    )


def test_those_that_could_not_be_parked_are_read_again() -> None:
    pending = opened(depth=1)
    to_park = pending.admit([delivery(1), delivery(2, next_at=NOW - 7)], NOW)
    pending.leave(to_park)
    assert pending.watermark(0) == NOW - 7


# ── ordered endpoints ───────────────────────────────────────────────────────────────────────────


def test_an_ordered_retry_goes_back_to_the_head_and_blocks_the_rest_until_its_time() -> None:
    pending = opened()
    pending.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = pending.take(NOW)
    assert one is not None
    pending.land(one)
    assert pending.take(NOW) is None
    pending.settle(one, delivery(1, ORDERED, next_at=NOW + 500, attempt=1))
    assert taken(pending, NOW + 499) == []
    assert pending.next_alarm() == NOW + 500
    assert taken(pending, NOW + 500) == [1]


@pytest.mark.parametrize("how", ["give_back", "lose"])
def test_an_ordered_lane_begins_again_from_its_first_when_that_one_went_back(how: str) -> None:
    pending = opened()
    pending.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW)
    one = pending.take(NOW)
    assert one is not None
    getattr(pending, how)(one)
    assert (len(pending), pending.hungry(), taken(pending)) == (0, [ORDERED], [])
    pending.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW)
    assert taken(pending) == [1]


def test_an_ordered_lane_that_begins_again_takes_nothing_read_before() -> None:
    pending = opened()
    pending.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = pending.take(NOW)
    assert one is not None
    with pending.reading() as settled:
        pending.lose(one)  # what became of it is only in the table
        pending.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW, settled)
    assert (taken(pending), pending.hungry()) == ([], [ORDERED])
    pending.admit([delivery(1, ORDERED, next_at=NOW + 5), delivery(2, ORDERED)], NOW)
    assert taken(pending) == []
    assert taken(pending, NOW + 5) == [1]


def test_an_ordered_retry_that_comes_back_to_a_held_lane_makes_reads_under_way_worthless() -> None:
    pending = opened()
    pending.admit([delivery(1, ORDERED), delivery(2, ORDERED)], NOW)
    one = pending.take(NOW)
    assert one is not None
    with pending.reading() as settled:
        configure(pending, ORDERED, holding=True)
        pending.settle(one, delivery(1, ORDERED, attempt=1))
        configure(pending, ORDERED)
        pending.admit([delivery(n, ORDERED) for n in (1, 2, 3)], NOW, settled)
    assert (taken(pending), pending.hungry()) == ([], [ORDERED])


# ── endpoints ───────────────────────────────────────────────────────────────────────────────────


def test_an_endpoint_that_comes_to_hold_has_its_waiting_ones_parked_and_fetched_when_it_resumes() -> (
    None
):
    pending = opened()
    pending.admit([delivery(1), delivery(2), delivery(3, next_at=NOW + 5)], NOW)
    one = pending.take(NOW)
    assert ids(configure(pending, A, holding=True)) == [2]
    assert ids(pending.tick(NOW + 5)) == [3]
    assert one is not None
    pending.settle(one, None)
    assert (len(pending), pending.hungry()) == (0, [])
    assert configure(pending, A) == []
    assert pending.hungry() == [A]


def test_an_endpoint_is_hungry_when_half_of_its_lane_is_empty() -> None:
    pending = opened(depth=10)
    pending.note_parked([A])
    pending.admit([delivery(n) for n in range(5)], NOW)
    assert pending.hungry() == []
    pending.take(NOW)
    assert pending.hungry() == [A]
    pending.none_parked(A)
    assert pending.hungry() == []


def test_an_endpoint_gets_hungry_once_when_what_is_taken_leaves_half_of_its_lane() -> None:
    pending = opened(depth=10)
    pending.admit([delivery(n) for n in range(10)], NOW)

    def taken_until_hungry() -> list[bool]:
        delivery = pending.take(NOW)
        assert delivery is not None
        pending.land(delivery)
        return [pending.got_hungry(A), A in pending.hungry()]

    assert taken_until_hungry() == [False, False]
    pending.note_parked([A])
    told = [taken_until_hungry() for _ in range(9)]
    assert [got for got, _ in told] == [False] * 4 + [True] + [False] * 4
    assert [hungry for _, hungry in told] == [False] * 4 + [True] * 5


def test_lanes_are_forgotten_only_when_nothing_in_memory_is_owed_to_them() -> None:
    pending = opened()
    pending.admit([delivery(1, A, next_at=NOW + 5), delivery(2, B)], NOW)
    assert pending.forget([A, B, ORDERED]) == [ORDERED]
    one = pending.take(NOW)
    assert pending.forget([B]) == []
    assert one is not None
    pending.settle(one, None)
    assert pending.forget([A, B]) == [B]


def test_the_repr_counts() -> None:
    pending = opened()
    pending.admit([delivery(1)], NOW)
    pending.note_parked([B])
    assert repr(pending) == (
        "<Pending 1 of 100 held, <RetryHeap 0 of 50, nothing>, <Lanes 3: 1 waiting, 0 in flight>,"
        " 1 endpoints with parked ones>"
    )


def test_one_that_was_never_tried_is_due_whatever_our_idea_of_the_time_is() -> None:
    pending = opened()
    pending.admit([delivery(1, attempt=0, next_at=NOW + 0.01)], NOW)
    assert taken(pending) == [1]


# ── a clock that was set back ───────────────────────────────────────────────────────────────────


def test_what_waits_for_its_time_keeps_its_distance_when_the_clock_is_set_back() -> None:
    pending = opened()
    pending.admit([delivery(1, next_at=NOW + 10), delivery(2, B, next_at=NOW + 30)], NOW)
    pending.set_back(500.0)
    assert pending.watermark(0) == NEVER_READ
    assert pending.next_alarm() == NOW - 490
    pending.tick(NOW - 490)
    assert taken(pending, NOW - 490) == [1]
    pending.tick(NOW - 470)
    assert taken(pending, NOW - 470) == [2]


def test_an_ordered_lane_and_one_at_rest_go_on_in_time_when_the_clock_is_set_back() -> None:
    pending = opened()
    pending.admit([delivery(1, ORDERED, next_at=NOW + 10), delivery(2, B)], NOW)
    pending.lanes.pause(B, NOW + 5)
    assert taken(pending) == []
    pending.set_back(500.0)
    assert taken(pending, NOW - 496) == []
    assert pending.next_alarm() == NOW - 495
    assert taken(pending, NOW - 495) == [2]
    assert taken(pending, NOW - 490) == [1]


def test_what_was_due_stays_due_when_the_clock_is_set_back() -> None:
    pending = opened()
    pending.admit([delivery(1), delivery(2)], NOW)
    assert pending.take(NOW) is not None
    pending.set_back(500.0)
    assert taken(pending, NOW - 500) == [2]
