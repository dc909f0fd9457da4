"""Lanes: round-robin over endpoints, bounded each, and what makes a lane wait."""

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dispatcher.core.model import Delivery
from dispatcher.engine.endpoint_queues import SHORT, Lanes

A, B, C = (UUID(int=n) for n in (1, 2, 3))
NOW = 1000.0


def delivery(number: int, endpoint_id: UUID = A, shard: int = 0, next_at: float = 0.0) -> Delivery:
    return Delivery(number, number, endpoint_id, shard, 0, 0, next_at)


def opened(*endpoint_ids: UUID, depth: int = 100, limit: int = 100, ordered: bool = False) -> Lanes:
    lanes = Lanes(depth)
    for endpoint_id in endpoint_ids:
        configure(lanes, endpoint_id, limit=limit, ordered=ordered)
    return lanes


def configure(
    lanes: Lanes,
    endpoint_id: UUID = A,
    *,
    limit: int = 100,
    holding: bool = False,
    ordered: bool = False,
    paused_until: float = 0.0,
) -> list[Delivery]:
    return lanes.configure(
        endpoint_id, limit=limit, holding=holding, ordered=ordered, paused_until=paused_until
    )


def offer(lanes: Lanes, *numbers: int, to: UUID = A) -> list[bool]:
    return [lanes.offer(delivery(number, to)) for number in numbers]


def taken(lanes: Lanes, now: float = NOW, most: int = 1000) -> list[int]:
    """Take all that can be started."""
    found: list[int] = []
    while len(found) < most and (one := lanes.take(now)):
        found.append(one.id)
    return found


# ── whose turn it is ────────────────────────────────────────────────────────────────────────────


def test_an_empty_lane_gives_nothing() -> None:
    assert taken(opened(A)) == []
    assert Lanes(5).take(NOW) is None


def test_lanes_take_turns_whatever_each_has_waiting() -> None:
    lanes = opened(A, B, C)
    offer(lanes, 1, 2, 3, 4, to=A)
    offer(lanes, 11, 12, to=B)
    offer(lanes, 21, to=C)
    assert taken(lanes) == [1, 11, 21, 2, 12, 3, 4]


def test_a_lane_keeps_its_own_order() -> None:
    lanes = opened(A)
    offer(lanes, 3, 1, 2)
    assert taken(lanes) == [3, 1, 2]


def test_what_comes_later_waits_for_the_lanes_that_were_there() -> None:
    lanes = opened(A, B)
    offer(lanes, 1, 2, 3, to=A)
    assert taken(lanes, most=1) == [1]
    offer(lanes, 11, to=B)
    assert taken(lanes) == [2, 11, 3]


# ── how much at once ────────────────────────────────────────────────────────────────────────────


def test_a_lane_at_its_limit_waits_for_a_landing_and_stops_nobody_else() -> None:
    lanes = opened(A, limit=2)
    configure(lanes, B)
    offer(lanes, 1, 2, 3, 4, to=A)
    offer(lanes, 11, 12, 13, to=B)
    assert taken(lanes) == [1, 11, 2, 12, 13]
    lanes.land(delivery(1))
    assert taken(lanes) == [3]
    lanes.land(delivery(3))
    lanes.land(delivery(2))
    assert taken(lanes) == [4]


def test_a_raised_limit_holds_at_once_and_a_lowered_one_from_the_next_landing() -> None:
    lanes = opened(A, limit=1)
    offer(lanes, *range(10))
    assert taken(lanes) == [0]
    configure(lanes, A, limit=3)
    assert taken(lanes) == [1, 2]
    configure(lanes, A, limit=1)
    lanes.land(delivery(0))
    assert taken(lanes) == []
    lanes.land(delivery(1))
    lanes.land(delivery(2))
    assert taken(lanes) == [3]


@pytest.mark.parametrize(("depth", "accepted"), [(0, 0), (1, 1), (3, 3)])
def test_a_full_lane_accepts_nothing_more(depth: int, accepted: int) -> None:
    lanes = opened(A, depth=depth)
    assert sum(offer(lanes, *range(10))) == accepted
    assert lanes.room(A) == 0
    assert taken(lanes) == list(range(accepted))
    assert lanes.room(A) == depth


def test_while_memory_is_crowded_lanes_are_short() -> None:
    lanes = opened(A, depth=1000)
    offer(lanes, *range(SHORT - 1))
    lanes.crowded = True
    assert (lanes.depth, lanes.room(A)) == (SHORT, 1)
    assert offer(lanes, 100, 101) == [True, False]
    lanes.crowded = False
    assert lanes.room(A) == 1000 - SHORT
    assert Lanes(5).depth == 5


@pytest.mark.parametrize(
    ("waiting", "coming", "saturated"),
    [
        (0, 1, False),
        (98, 1, False),
        (99, 1, True),
        (89, 10, False),
        (90, 10, True),
        (50, 500, True),
    ],
)
def test_endpoints_without_room_for_what_is_coming_are_saturated(
    waiting: int, coming: int, saturated: bool
) -> None:
    lanes = opened(A, B)
    offer(lanes, *range(waiting), to=A)
    assert lanes.saturated(coming) == ([A] if saturated else [])


def test_a_holding_endpoint_is_saturated() -> None:
    lanes = opened(A, B)
    configure(lanes, B, holding=True)
    assert lanes.saturated(1) == [B]


# ── holding ─────────────────────────────────────────────────────────────────────────────────────


def test_a_lane_that_comes_to_hold_lets_everything_go_and_takes_nothing() -> None:
    lanes = opened(A)
    offer(lanes, 1, 2, 3)
    assert taken(lanes, most=1) == [1]
    assert [d.id for d in configure(lanes, A, holding=True)] == [2, 3]
    assert offer(lanes, 4) == [False]
    assert not lanes.put_first(delivery(1))
    assert (lanes.holds(A), lanes.room(A), taken(lanes)) == (True, 0, [])
    lanes.land(delivery(1))
    lanes.settle(delivery(1))
    assert configure(lanes, A) == []
    assert offer(lanes, 5) == [True]
    assert taken(lanes) == [5]


def test_an_unknown_endpoint_holds_nothing() -> None:
    assert not Lanes(5).holds(A)


# ── pauses ──────────────────────────────────────────────────────────────────────────────────────


def test_a_paused_lane_waits_for_its_time_and_stops_nobody_else() -> None:
    lanes = opened(A, B)
    lanes.pause(A, NOW + 10)
    offer(lanes, 1, 2, to=A)
    offer(lanes, 11, to=B)
    assert taken(lanes) == [11]
    assert lanes.next_alarm() == NOW + 10
    assert taken(lanes, NOW + 9.9) == []
    assert taken(lanes, NOW + 10) == [1, 2]
    assert lanes.next_alarm() is None


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    lanes = opened(A)
    lanes.pause(A, NOW + 10)
    lanes.pause(A, NOW + 5)
    offer(lanes, 1)
    assert taken(lanes, NOW + 9) == []
    assert taken(lanes, NOW + 10) == [1]


def test_a_pause_prolonged_while_waiting_is_waited_for_whole() -> None:
    lanes = opened(A)
    lanes.pause(A, NOW + 5)
    offer(lanes, 1)
    assert taken(lanes) == []
    lanes.pause(A, NOW + 10)
    assert taken(lanes, NOW + 6) == []
    assert lanes.next_alarm() == NOW + 10
    assert taken(lanes, NOW + 10) == [1]


@pytest.mark.parametrize(
    ("told", "until"),
    [
        ([0.0], NOW + 10),  # the table has not heard of it yet
        ([NOW + 10], NOW + 10),
        ([NOW + 20], NOW + 20),  # another daemon was told to wait longer
        ([NOW + 5], NOW + 10),
        ([NOW + 10, 0.0], 0.0),  # somebody ended it
        ([NOW + 20, NOW + 5], NOW + 5),
    ],
)
def test_a_pause_goes_on_until_the_table_says_that_it_ended(
    told: list[float], until: float
) -> None:
    lanes = opened(A)
    lanes.pause(A, NOW + 10)
    for paused_until in told:
        configure(lanes, A, paused_until=paused_until)
    assert lanes[A].paused_until == until
    offer(lanes, 1)
    assert taken(lanes, until - 1) == []
    assert taken(lanes, until) == [1]


def test_disabling_an_endpoint_ends_its_pause() -> None:
    lanes = opened(A)
    lanes.pause(A, NOW + 10)
    configure(lanes, A, holding=True)
    configure(lanes, A)
    offer(lanes, 1)
    assert taken(lanes) == [1]


def test_a_paused_lane_sets_one_alarm_however_often_it_is_offered_something() -> None:
    lanes = opened(A)
    lanes.pause(A, NOW + 10)
    for number in range(100):
        offer(lanes, number)
        assert taken(lanes) == []
    assert len(lanes._alarms) == 1


# ── order ───────────────────────────────────────────────────────────────────────────────────────


def test_an_ordered_lane_has_one_under_way_until_it_is_settled() -> None:
    lanes = opened(A, ordered=True, limit=1)
    offer(lanes, 1, 2)
    assert taken(lanes) == [1]
    lanes.land(delivery(1))
    assert taken(lanes) == []
    lanes.settle(delivery(1))
    assert taken(lanes) == [2]


def test_the_head_of_an_ordered_lane_blocks_the_rest_until_its_time() -> None:
    lanes = opened(A, ordered=True, limit=1)
    lanes.offer(delivery(1, next_at=NOW + 30))
    lanes.offer(delivery(2, next_at=NOW - 5))
    assert taken(lanes) == []
    assert lanes.next_alarm() == NOW + 30
    assert taken(lanes, NOW + 30) == [1]


def test_one_put_back_first_is_next_even_in_a_full_lane() -> None:
    lanes = opened(A, ordered=True, limit=1, depth=2)
    offer(lanes, 1, 2)
    assert taken(lanes) == [1]
    offer(lanes, 3)
    lanes.settle(delivery(1))
    assert lanes.put_first(delivery(1))
    assert taken(lanes) == [1]
    lanes.settle(delivery(1))
    assert taken(lanes) == [2]


@pytest.mark.parametrize("becomes", [True, False])
def test_a_lane_that_becomes_ordered_or_ceases_to_be_counts_its_landings_once(
    becomes: bool,
) -> None:
    lanes = opened(A, ordered=not becomes, limit=1)
    offer(lanes, 1, 2)
    assert taken(lanes) == [1]
    lanes.land(delivery(1))
    configure(lanes, A, ordered=becomes, limit=1)
    lanes.settle(delivery(1))
    assert taken(lanes) == [2]
    assert taken(lanes) == []
    lanes.land(delivery(2))
    lanes.settle(delivery(2))
    assert lanes.close(A)


# ── letting go ──────────────────────────────────────────────────────────────────────────────────


def test_what_belongs_to_shards_we_lost_is_let_go_and_the_rest_keeps_its_order() -> None:
    lanes = opened(A, B)
    for number in range(6):
        lanes.offer(delivery(number, A, shard=number % 3))
    lanes.offer(delivery(10, B, shard=2))
    dropped = lanes.drop_shards(frozenset({0, 1}))
    assert sorted(d.id for d in dropped) == [2, 5, 10]
    assert taken(lanes) == [0, 1, 3, 4]


def test_a_lane_is_closed_only_when_nothing_of_it_is_left() -> None:
    lanes = opened(A)
    offer(lanes, 1)
    assert not lanes.close(A)
    assert taken(lanes) == [1]
    lanes.land(delivery(1))
    assert not lanes.close(A)
    lanes.settle(delivery(1))
    assert lanes.close(A)
    with pytest.raises(KeyError):
        lanes[A]


def test_events_that_wait_are_named_in_their_order() -> None:
    lanes = opened(A)
    offer(lanes, 3, 1, 2)
    assert list(lanes.upcoming(A)) == [3, 1, 2]


def test_the_repr_tells_how_much_waits_and_how_much_is_in_flight() -> None:
    lanes = opened(A, B)
    offer(lanes, 1, 2, 3)
    lanes.take(NOW)
    assert repr(lanes) == "<Lanes 2: 2 waiting, 1 in flight>"


# ── whatever happens ────────────────────────────────────────────────────────────────────────────


class AnyLanes(RuleBasedStateMachine):
    """Three endpoints of one limit: nothing is lost, started twice, too early or beyond it."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = opened(A, B, C, depth=5, limit=2)
        self.now, self.limit, self.number = NOW, 2, 0
        self.waiting: set[int] = set()
        self.flying: list[Delivery] = []

    @rule(endpoint_id=st.sampled_from([A, B, C]))
    def offer(self, endpoint_id: UUID) -> None:
        self.number += 1
        if self.lanes.offer(delivery(self.number, endpoint_id)):
            self.waiting.add(self.number)

    @rule()
    def take(self) -> None:
        one = self.lanes.take(self.now)
        if one is not None:
            assert self.lanes[one.endpoint_id].paused_until <= self.now
            self.waiting.remove(one.id)
            self.flying.append(one)
            assert Counter(d.endpoint_id for d in self.flying)[one.endpoint_id] <= self.limit

    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        if self.flying:
            one = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
            self.lanes.land(one)
            self.lanes.settle(one)

    @rule(endpoint_id=st.sampled_from([A, B, C]), seconds=st.integers(0, 5))
    def pause(self, endpoint_id: UUID, seconds: int) -> None:
        self.lanes.pause(endpoint_id, self.now + seconds)

    @rule(more=st.integers(0, 2))
    def raise_the_limit(self, more: int) -> None:
        self.limit += more
        for endpoint_id in (A, B, C):
            configure(self.lanes, endpoint_id, limit=self.limit)

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    def teardown(self) -> None:
        while self.waiting:
            for one in self.flying:
                self.lanes.land(one)
                self.lanes.settle(one)
            self.flying.clear()
            before = len(self.waiting)
            self.take()
            if len(self.waiting) == before:  # so all that waits waits for a time
                alarm = self.lanes.next_alarm()
                assert alarm is not None
                assert alarm > self.now
                self.now = alarm


test_whatever_happens_nothing_is_lost_or_started_twice = AnyLanes.TestCase


@pytest.mark.parametrize(
    ("endpoints", "each"), [(1, SHORT), (1_250, SHORT), (4_000, 10), (10_000, 4), (15_000, 4)]
)
def test_the_more_lanes_share_a_full_memory_the_less_each_holds(endpoints: int, each: int) -> None:
    lanes = opened(*(UUID(int=n) for n in range(endpoints)))
    assert lanes.depth == 100
    lanes.crowded = True
    assert lanes.depth == each
