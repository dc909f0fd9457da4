"""EndpointQueues: round-robin over endpoints, bounded each, and what makes a lane wait."""

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dispatcher.core.model import Delivery
from dispatcher.engine.endpoint_queue import QueueSettings
from dispatcher.engine.endpoint_queues import SHORT_DEPTH, EndpointQueues

A, B, C = (UUID(int=n) for n in (1, 2, 3))
NOW = 1000.0


def delivery(number: int, endpoint_id: UUID = A, shard: int = 0, next_at: float = 0.0) -> Delivery:
    return Delivery(number, number, endpoint_id, shard, 0, 0, next_at)


def opened(
    *endpoint_ids: UUID, depth: int = 100, limit: int = 100, ordered: bool = False
) -> EndpointQueues:
    queues = EndpointQueues(depth)
    for endpoint_id in endpoint_ids:
        configure(queues, endpoint_id, limit=limit, ordered=ordered)
    return queues


def configure(
    queues: EndpointQueues,
    endpoint_id: UUID = A,
    *,
    limit: int = 100,
    paused: bool = False,
    ordered: bool = False,
    paused_until: float = 0.0,
) -> list[Delivery]:
    return queues.configure(
        endpoint_id,
        QueueSettings(limit=limit, is_paused=paused, is_ordered=ordered, stored_pause=paused_until),
    )


def offer(queues: EndpointQueues, *numbers: int, to: UUID = A) -> list[bool]:
    return [queues.offer(delivery(number, to)) for number in numbers]


def taken(queues: EndpointQueues, now: float = NOW, most: int = 1000) -> list[int]:
    """Take all that can be started."""
    found: list[int] = []
    while len(found) < most and (one := queues.take(now)):
        found.append(one.id)
    return found


# ── whose turn it is ────────────────────────────────────────────────────────────────────────────


def test_an_empty_lane_gives_nothing() -> None:
    assert taken(opened(A)) == []
    assert EndpointQueues(5).take(NOW) is None


def test_queues_take_turns_whatever_each_has_waiting() -> None:
    queues = opened(A, B, C)
    offer(queues, 1, 2, 3, 4, to=A)
    offer(queues, 11, 12, to=B)
    offer(queues, 21, to=C)
    assert taken(queues) == [1, 11, 21, 2, 12, 3, 4]


def test_a_queue_keeps_its_own_order() -> None:
    queues = opened(A)
    offer(queues, 3, 1, 2)
    assert taken(queues) == [3, 1, 2]


def test_what_comes_later_waits_for_the_queues_that_were_there() -> None:
    queues = opened(A, B)
    offer(queues, 1, 2, 3, to=A)
    assert taken(queues, most=1) == [1]
    offer(queues, 11, to=B)
    assert taken(queues) == [2, 11, 3]


# ── how much at once ────────────────────────────────────────────────────────────────────────────


def test_a_queue_at_its_limit_waits_for_a_landing_and_stops_nobody_else() -> None:
    queues = opened(A, limit=2)
    configure(queues, B)
    offer(queues, 1, 2, 3, 4, to=A)
    offer(queues, 11, 12, 13, to=B)
    assert taken(queues) == [1, 11, 2, 12, 13]
    queues.finish_attempt(delivery(1))
    assert taken(queues) == [3]
    queues.finish_attempt(delivery(3))
    queues.finish_attempt(delivery(2))
    assert taken(queues) == [4]


def test_a_raised_limit_holds_at_once_and_a_lowered_one_from_the_next_landing() -> None:
    queues = opened(A, limit=1)
    offer(queues, *range(10))
    assert taken(queues) == [0]
    configure(queues, A, limit=3)
    assert taken(queues) == [1, 2]
    configure(queues, A, limit=1)
    queues.finish_attempt(delivery(0))
    assert taken(queues) == []
    queues.finish_attempt(delivery(1))
    queues.finish_attempt(delivery(2))
    assert taken(queues) == [3]


@pytest.mark.parametrize(("depth", "accepted"), [(0, 0), (1, 1), (3, 3)])
def test_a_full_lane_accepts_nothing_more(depth: int, accepted: int) -> None:
    queues = opened(A, depth=depth)
    assert sum(offer(queues, *range(10))) == accepted
    assert queues.room(A) == 0
    assert taken(queues) == list(range(accepted))
    assert queues.room(A) == depth


def test_while_memory_is_crowded_queues_are_short() -> None:
    queues = opened(A, depth=1000)
    offer(queues, *range(SHORT_DEPTH - 1))
    queues.is_memory_full = True
    assert (queues.depth, queues.room(A)) == (SHORT_DEPTH, 1)
    assert offer(queues, 100, 101) == [True, False]
    queues.is_memory_full = False
    assert queues.room(A) == 1000 - SHORT_DEPTH
    assert EndpointQueues(5).depth == 5


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
    queues = opened(A, B)
    offer(queues, *range(waiting), to=A)
    assert queues.endpoints_without_room(coming) == ([A] if saturated else [])


def test_a_holding_endpoint_is_saturated() -> None:
    queues = opened(A, B)
    configure(queues, B, paused=True)
    assert queues.endpoints_without_room(1) == [B]


# ── holding ─────────────────────────────────────────────────────────────────────────────────────


def test_a_queue_that_comes_to_hold_lets_everything_go_and_takes_nothing() -> None:
    queues = opened(A)
    offer(queues, 1, 2, 3)
    assert taken(queues, most=1) == [1]
    assert [d.id for d in configure(queues, A, paused=True)] == [2, 3]
    assert offer(queues, 4) == [False]
    assert not queues.put_first(delivery(1))
    assert (queues.is_paused(A), queues.room(A), taken(queues)) == (True, 0, [])
    queues.finish_attempt(delivery(1))
    queues.confirm_recorded(delivery(1))
    assert configure(queues, A) == []
    assert offer(queues, 5) == [True]
    assert taken(queues) == [5]


def test_an_unknown_endpoint_holds_nothing() -> None:
    assert not EndpointQueues(5).is_paused(A)


# ── pauses ──────────────────────────────────────────────────────────────────────────────────────


def test_a_paused_lane_waits_for_its_time_and_stops_nobody_else() -> None:
    queues = opened(A, B)
    queues.pause(A, NOW + 10)
    offer(queues, 1, 2, to=A)
    offer(queues, 11, to=B)
    assert taken(queues) == [11]
    assert queues.next_alarm() == NOW + 10
    assert taken(queues, NOW + 9.9) == []
    assert taken(queues, NOW + 10) == [1, 2]
    assert queues.next_alarm() is None


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    queues = opened(A)
    queues.pause(A, NOW + 10)
    queues.pause(A, NOW + 5)
    offer(queues, 1)
    assert taken(queues, NOW + 9) == []
    assert taken(queues, NOW + 10) == [1]


def test_a_pause_prolonged_while_waiting_is_waited_for_whole() -> None:
    queues = opened(A)
    queues.pause(A, NOW + 5)
    offer(queues, 1)
    assert taken(queues) == []
    queues.pause(A, NOW + 10)
    assert taken(queues, NOW + 6) == []
    assert queues.next_alarm() == NOW + 10
    assert taken(queues, NOW + 10) == [1]


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
    queues = opened(A)
    queues.pause(A, NOW + 10)
    for paused_until in told:
        configure(queues, A, paused_until=paused_until)
    assert queues[A].paused_until == until
    offer(queues, 1)
    assert taken(queues, until - 1) == []
    assert taken(queues, until) == [1]


def test_disabling_an_endpoint_ends_its_pause() -> None:
    queues = opened(A)
    queues.pause(A, NOW + 10)
    configure(queues, A, paused=True)
    configure(queues, A)
    offer(queues, 1)
    assert taken(queues) == [1]


def test_a_paused_lane_sets_one_alarm_however_often_it_is_offered_something() -> None:
    queues = opened(A)
    queues.pause(A, NOW + 10)
    for number in range(100):
        offer(queues, number)
        assert taken(queues) == []
    assert len(queues._alarms) == 1


# ── order ───────────────────────────────────────────────────────────────────────────────────────


def test_an_ordered_lane_has_one_under_way_until_it_is_settled() -> None:
    queues = opened(A, ordered=True, limit=1)
    offer(queues, 1, 2)
    assert taken(queues) == [1]
    queues.finish_attempt(delivery(1))
    assert taken(queues) == []
    queues.confirm_recorded(delivery(1))
    assert taken(queues) == [2]


def test_the_head_of_an_ordered_lane_blocks_the_rest_until_its_time() -> None:
    queues = opened(A, ordered=True, limit=1)
    queues.offer(delivery(1, next_at=NOW + 30))
    queues.offer(delivery(2, next_at=NOW - 5))
    assert taken(queues) == []
    assert queues.next_alarm() == NOW + 30
    assert taken(queues, NOW + 30) == [1]


def test_one_put_back_first_is_next_even_in_a_full_lane() -> None:
    queues = opened(A, ordered=True, limit=1, depth=2)
    offer(queues, 1, 2)
    assert taken(queues) == [1]
    offer(queues, 3)
    queues.confirm_recorded(delivery(1))
    assert queues.put_first(delivery(1))
    assert taken(queues) == [1]
    queues.confirm_recorded(delivery(1))
    assert taken(queues) == [2]


@pytest.mark.parametrize("becomes", [True, False])
def test_a_queue_that_becomes_ordered_or_ceases_to_be_counts_its_landings_once(
    becomes: bool,
) -> None:
    queues = opened(A, ordered=not becomes, limit=1)
    offer(queues, 1, 2)
    assert taken(queues) == [1]
    queues.finish_attempt(delivery(1))
    configure(queues, A, ordered=becomes, limit=1)
    queues.confirm_recorded(delivery(1))
    assert taken(queues) == [2]
    assert taken(queues) == []
    queues.finish_attempt(delivery(2))
    queues.confirm_recorded(delivery(2))
    assert queues.close(A)


# ── letting go ──────────────────────────────────────────────────────────────────────────────────


def test_what_belongs_to_shards_we_lost_is_let_go_and_the_rest_keeps_its_order() -> None:
    queues = opened(A, B)
    for number in range(6):
        queues.offer(delivery(number, A, shard=number % 3))
    queues.offer(delivery(10, B, shard=2))
    dropped = queues.drop_other_shards(frozenset({0, 1}))
    assert sorted(d.id for d in dropped) == [2, 5, 10]
    assert taken(queues) == [0, 1, 3, 4]


def test_a_queue_is_closed_only_when_nothing_of_it_is_left() -> None:
    queues = opened(A)
    offer(queues, 1)
    assert not queues.close(A)
    assert taken(queues) == [1]
    queues.finish_attempt(delivery(1))
    assert not queues.close(A)
    queues.confirm_recorded(delivery(1))
    assert queues.close(A)
    with pytest.raises(KeyError):
        queues[A]


def test_events_that_wait_are_named_in_their_order() -> None:
    queues = opened(A)
    offer(queues, 3, 1, 2)
    assert list(queues.next_events(A)) == [3, 1, 2]


def test_the_repr_tells_how_much_waits_and_how_much_is_in_flight() -> None:
    queues = opened(A, B)
    offer(queues, 1, 2, 3)
    queues.take(NOW)
    assert repr(queues) == "<EndpointQueues 2: 2 waiting, 1 in flight>"


# ── whatever happens ────────────────────────────────────────────────────────────────────────────


class AnyQueues(RuleBasedStateMachine):
    """Three endpoints of one limit: nothing is lost, started twice, too early or beyond it."""

    def __init__(self) -> None:
        super().__init__()
        self.queues = opened(A, B, C, depth=5, limit=2)
        self.now, self.limit, self.number = NOW, 2, 0
        self.waiting: set[int] = set()
        self.in_flight: list[Delivery] = []

    @rule(endpoint_id=st.sampled_from([A, B, C]))
    def offer(self, endpoint_id: UUID) -> None:
        self.number += 1
        if self.queues.offer(delivery(self.number, endpoint_id)):
            self.waiting.add(self.number)

    @rule()
    def take(self) -> None:
        one = self.queues.take(self.now)
        if one is not None:
            assert self.queues[one.endpoint_id].paused_until <= self.now
            self.waiting.remove(one.id)
            self.in_flight.append(one)
            assert Counter(d.endpoint_id for d in self.in_flight)[one.endpoint_id] <= self.limit

    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        if self.in_flight:
            one = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
            self.queues.finish_attempt(one)
            self.queues.confirm_recorded(one)

    @rule(endpoint_id=st.sampled_from([A, B, C]), seconds=st.integers(0, 5))
    def pause(self, endpoint_id: UUID, seconds: int) -> None:
        self.queues.pause(endpoint_id, self.now + seconds)

    @rule(more=st.integers(0, 2))
    def raise_the_limit(self, more: int) -> None:
        self.limit += more
        for endpoint_id in (A, B, C):
            configure(self.queues, endpoint_id, limit=self.limit)

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    def teardown(self) -> None:
        while self.waiting:
            for one in self.in_flight:
                self.queues.finish_attempt(one)
                self.queues.confirm_recorded(one)
            self.in_flight.clear()
            before = len(self.waiting)
            self.take()
            if len(self.waiting) == before:  # so all that waits waits for a time
                alarm = self.queues.next_alarm()
                assert alarm is not None
                assert alarm > self.now
                self.now = alarm


test_whatever_happens_nothing_is_lost_or_started_twice = AnyQueues.TestCase


@pytest.mark.parametrize(
    ("endpoints", "each"),
    [(1, SHORT_DEPTH), (1_250, SHORT_DEPTH), (4_000, 10), (10_000, 4), (15_000, 4)],
)
def test_the_more_queues_share_a_full_memory_the_less_each_holds(endpoints: int, each: int) -> None:
    queues = opened(*(UUID(int=n) for n in range(endpoints)))
    assert queues.depth == 100
    queues.is_memory_full = True
    assert queues.depth == each
