"""The endpoint queues: turns, bounds, and the reasons for which a queue waits."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import SHORT_DEPTH, EndpointQueues

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
    stopped: bool = False,
    ordered: bool = False,
    resting_until: float = 0.0,
) -> list[Delivery]:
    return queues.configure(
        endpoint_id,
        QueueSettings(
            limit=limit, is_stopped=stopped, is_ordered=ordered, stored_rest=resting_until
        ),
    )


def offer(queues: EndpointQueues, *numbers: int, to: UUID = A) -> list[bool]:
    return [queues.offer(delivery(number, to)) for number in numbers]


def taken(queues: EndpointQueues, now: float = NOW, limit: int = 1000) -> list[int]:
    """Take all that can be started."""
    taken_ids: list[int] = []
    while len(taken_ids) < limit and (one := queues.take(now)):
        taken_ids.append(one.id)
    return taken_ids


# ── whose turn it is ────────────────────────────────────────────────────────────────────────────


def test_an_empty_queue_starts_nothing() -> None:
    assert taken(opened(A)) == []
    assert EndpointQueues(5).take(NOW) is None


def test_queues_take_turns_however_many_deliveries_wait() -> None:
    queues = opened(A, B, C)
    offer(queues, 1, 2, 3, 4, to=A)
    offer(queues, 11, 12, to=B)
    offer(queues, 21, to=C)
    assert taken(queues) == [1, 11, 21, 2, 12, 3, 4]


def test_a_queue_keeps_its_own_order() -> None:
    queues = opened(A)
    offer(queues, 3, 1, 2)
    assert taken(queues) == [3, 1, 2]


def test_a_new_queue_takes_its_turn_after_the_others() -> None:
    queues = opened(A, B)
    offer(queues, 1, 2, 3, to=A)
    assert taken(queues, limit=1) == [1]
    offer(queues, 11, to=B)
    assert taken(queues) == [2, 11, 3]


# ── how much at once ────────────────────────────────────────────────────────────────────────────


def test_a_queue_at_its_limit_does_not_hold_up_the_others() -> None:
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


def test_a_raised_limit_applies_at_once_and_a_lowered_one_after_an_attempt() -> None:
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
def test_a_full_queue_accepts_no_more(depth: int, accepted: int) -> None:
    queues = opened(A, depth=depth)
    assert sum(offer(queues, *range(10))) == accepted
    assert queues.room(A) == 0
    assert taken(queues) == list(range(accepted))
    assert queues.room(A) == depth


@pytest.mark.parametrize(("free", "depth"), [(0, 4), (8, 4), (9, 4), (100, 50)])
def test_a_queue_is_deeper_while_there_is_much_free_memory(free: int, depth: int) -> None:
    queues = EndpointQueues(4, share=0.5)
    queues.count_memory_by(lambda: free)
    assert (queues.depth, queues.refill_depth) == (depth, 2)


def test_queues_are_short_while_memory_is_full() -> None:
    queues = opened(A, depth=1000)
    offer(queues, *range(SHORT_DEPTH - 1))
    queues.count_memory_by(lambda: 0)
    assert (queues.depth, queues.room(A)) == (SHORT_DEPTH, 1)
    assert offer(queues, 100, 101) == [True, False]
    queues.count_memory_by(lambda: 1)
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
def test_endpoints_without_room_for_the_coming_deliveries_are_listed(
    waiting: int, coming: int, saturated: bool
) -> None:
    queues = opened(A, B)
    offer(queues, *range(waiting), to=A)
    assert queues.endpoints_without_room(coming) == ([A] if saturated else [])


def test_a_stopped_endpoint_has_no_room() -> None:
    queues = opened(A, B)
    configure(queues, B, stopped=True)
    assert queues.endpoints_without_room(1) == [B]


# ── stopped ─────────────────────────────────────────────────────────────────────────────────────


def test_a_queue_that_is_stopped_is_emptied_and_accepts_nothing() -> None:
    queues = opened(A)
    offer(queues, 1, 2, 3)
    assert taken(queues, limit=1) == [1]
    assert [d.id for d in configure(queues, A, stopped=True)] == [2, 3]
    assert offer(queues, 4) == [False]
    assert not queues.put_first(delivery(1))
    assert (queues.is_stopped(A), queues.room(A), taken(queues)) == (True, 0, [])
    queues.finish_attempt(delivery(1))
    queues.release(delivery(1))
    assert configure(queues, A) == []
    assert offer(queues, 5) == [True]
    assert taken(queues) == [5]


def test_an_unknown_endpoint_is_not_stopped() -> None:
    assert not EndpointQueues(5).is_stopped(A)


# ── rests ──────────────────────────────────────────────────────────────────────────────────────


def test_a_resting_queue_does_not_hold_up_the_others() -> None:
    queues = opened(A, B)
    queues.rest(A, NOW + 10)
    offer(queues, 1, 2, to=A)
    offer(queues, 11, to=B)
    assert taken(queues) == [11]
    assert queues.next_alarm() == NOW + 10
    assert taken(queues, NOW + 9.9) == []
    assert taken(queues, NOW + 10) == [1, 2]
    assert queues.next_alarm() is None


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    queues = opened(A)
    queues.rest(A, NOW + 10)
    queues.rest(A, NOW + 5)
    offer(queues, 1)
    assert taken(queues, NOW + 9) == []
    assert taken(queues, NOW + 10) == [1]


def test_a_rest_that_is_prolonged_is_kept_to_its_new_end() -> None:
    queues = opened(A)
    queues.rest(A, NOW + 5)
    offer(queues, 1)
    assert taken(queues) == []
    queues.rest(A, NOW + 10)
    assert taken(queues, NOW + 6) == []
    assert queues.next_alarm() == NOW + 10
    assert taken(queues, NOW + 10) == [1]


@pytest.mark.parametrize(
    ("stored", "until"),
    [
        ([0.0], NOW + 10),  # the table has not heard of it yet
        ([NOW + 10], NOW + 10),
        ([NOW + 20], NOW + 20),  # another daemon stored a longer rest
        ([NOW + 5], NOW + 10),
        ([NOW + 10, 0.0], 0.0),  # a person ended it
        ([NOW + 20, NOW + 5], NOW + 5),
    ],
)
def test_a_rest_lasts_until_the_table_ends_it(stored: list[float], until: float) -> None:
    queues = opened(A)
    queues.rest(A, NOW + 10)
    for resting_until in stored:
        configure(queues, A, resting_until=resting_until)
    assert queues[A].resting_until == until
    offer(queues, 1)
    assert taken(queues, until - 1) == []
    assert taken(queues, until) == [1]


def test_disabling_an_endpoint_ends_its_rest() -> None:
    queues = opened(A)
    queues.rest(A, NOW + 10)
    configure(queues, A, stopped=True)
    configure(queues, A)
    offer(queues, 1)
    assert taken(queues) == [1]


def test_a_resting_queue_sets_one_alarm() -> None:
    queues = opened(A)
    queues.rest(A, NOW + 10)
    for number in range(100):
        offer(queues, number)
        assert taken(queues) == []
    assert len(queues._alarms) == 1


# ── order ───────────────────────────────────────────────────────────────────────────────────────


def test_an_ordered_queue_has_one_delivery_under_way_until_it_is_recorded() -> None:
    queues = opened(A, ordered=True, limit=1)
    offer(queues, 1, 2)
    assert taken(queues) == [1]
    queues.finish_attempt(delivery(1))
    assert taken(queues) == []
    queues.release(delivery(1))
    assert taken(queues) == [2]


def test_the_head_of_an_ordered_queue_blocks_the_rest_until_its_time() -> None:
    queues = opened(A, ordered=True, limit=1)
    queues.offer(replace(delivery(1, next_at=NOW + 30), attempt=1))
    queues.offer(delivery(2, next_at=NOW - 5))
    assert taken(queues) == []
    assert queues.next_alarm() == NOW + 30
    assert taken(queues, NOW + 30) == [1]


def test_a_delivery_put_first_is_next_even_in_a_full_queue() -> None:
    queues = opened(A, ordered=True, limit=1, depth=2)
    offer(queues, 1, 2)
    assert taken(queues) == [1]
    offer(queues, 3)
    queues.release(delivery(1))
    assert queues.put_first(delivery(1))
    assert taken(queues) == [1]
    queues.release(delivery(1))
    assert taken(queues) == [2]


@pytest.mark.parametrize("becomes", [True, False])
def test_a_queue_that_becomes_or_ceases_to_be_ordered_frees_each_slot_once(
    becomes: bool,
) -> None:
    queues = opened(A, ordered=not becomes, limit=1)
    offer(queues, 1, 2)
    assert taken(queues) == [1]
    queues.finish_attempt(delivery(1))
    configure(queues, A, ordered=becomes, limit=1)
    queues.release(delivery(1))
    assert taken(queues) == [2]
    assert taken(queues) == []
    queues.finish_attempt(delivery(2))
    queues.release(delivery(2))
    assert queues.close(A)


# ── letting go ──────────────────────────────────────────────────────────────────────────────────


def test_deliveries_of_lost_shards_leave_and_the_rest_keeps_its_order() -> None:
    queues = opened(A, B)
    for number in range(6):
        queues.offer(delivery(number, A, shard=number % 3))
    queues.offer(delivery(10, B, shard=2))
    dropped = queues.drop_other_shards(frozenset({0, 1}))
    assert sorted(d.id for d in dropped) == [2, 5, 10]
    assert taken(queues) == [0, 1, 3, 4]


def test_a_queue_is_closed_only_without_deliveries() -> None:
    queues = opened(A)
    offer(queues, 1)
    assert not queues.close(A)
    assert taken(queues) == [1]
    queues.finish_attempt(delivery(1))
    assert not queues.close(A)
    queues.release(delivery(1))
    assert queues.close(A)
    with pytest.raises(KeyError):
        queues[A]


def test_the_next_events_are_in_the_order_of_the_queue() -> None:
    queues = opened(A)
    offer(queues, 3, 1, 2)
    assert list(queues.next_events(A)) == [3, 1, 2]


def test_the_repr_counts_waiting_and_in_flight() -> None:
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
            assert self.queues[one.endpoint_id].resting_until <= self.now
            self.waiting.remove(one.id)
            self.in_flight.append(one)
            assert Counter(d.endpoint_id for d in self.in_flight)[one.endpoint_id] <= self.limit

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.in_flight:
            one = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
            self.queues.finish_attempt(one)
            self.queues.release(one)

    @rule(endpoint_id=st.sampled_from([A, B, C]), seconds=st.integers(0, 5))
    def rest(self, endpoint_id: UUID, seconds: int) -> None:
        self.queues.rest(endpoint_id, self.now + seconds)

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
                self.queues.release(one)
            self.in_flight.clear()
            before = len(self.waiting)
            self.take()
            if len(self.waiting) == before:  # so all that waits waits for a time
                alarm = self.queues.next_alarm()
                assert alarm is not None
                assert alarm > self.now
                self.now = alarm


test_nothing_is_lost_or_started_twice = AnyQueues.TestCase


@pytest.mark.parametrize(
    ("endpoints", "depth"),
    [(1, SHORT_DEPTH), (1_250, SHORT_DEPTH), (4_000, 10), (10_000, 4), (15_000, 4)],
)
def test_many_queues_in_a_full_memory_are_shorter(endpoints: int, depth: int) -> None:
    queues = opened(*(UUID(int=n) for n in range(endpoints)))
    assert queues.depth == 100
    queues.count_memory_by(lambda: 0)
    assert queues.depth == depth
