"""Environments take turns, and slow endpoints share a part of the slots."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.endpoint_queue import (
    CLEAR_SECONDS,
    PROBE_LIMIT,
    SLOW_SECONDS,
    QueueSettings,
)
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues

A, B, C, D = (UUID(int=n) for n in (1, 2, 3, 4))
NOW = 1000.0
QUICK = SLOW_SECONDS / 10


def opened(
    *endpoint_ids: UUID,
    slow: int = 6,
    environments: str = "xxx",
    slots: int = 256,
    limit: int = 10,
) -> EndpointQueues:
    queues = EndpointQueues(100, slots=slots, slow_slots=slow)
    for endpoint_id, environment in zip(endpoint_ids, environments, strict=False):
        queues.configure(endpoint_id, QueueSettings(limit=limit, environment_id=environment))
    return queues


def offer(queues: EndpointQueues, to: UUID, count: int = 20) -> None:
    for number in range(count):
        assert queues.offer(delivery(to.int * 100 + number, to))


def delivery(number: int, to: UUID) -> Delivery:
    return Delivery(number, number, to, 0, 0, 0, 0.0)


def taken(queues: EndpointQueues, now: float = NOW) -> list[Delivery]:
    """Everything that can be started now."""
    deliveries = []
    while (one := queues.take(now)) is not None:
        deliveries.append(one)
    return deliveries


def finish(queues: EndpointQueues, *deliveries: Delivery, took: float) -> None:
    for one in deliveries:
        queues.finish_attempt(one, took)
        queues.release(one)


def proven(queues: EndpointQueues, *endpoint_ids: UUID, took: float = QUICK) -> None:
    """Each has answered once."""
    for endpoint_id in endpoint_ids:
        queues.offer(delivery(endpoint_id.int * 1000, endpoint_id))
    finish(queues, *taken(queues), took=took)


# ── turns ───────────────────────────────────────────────────────────────────────────────────────


def test_an_environment_with_one_endpoint_has_as_many_turns_as_one_with_many() -> None:
    queues = opened(A, B, C, environments="xxy")
    for endpoint_id in (A, B, C):
        offer(queues, endpoint_id, 2)
    assert [one.endpoint_id for one in taken(queues)] == [A, C, B, C, A, B]


def test_an_environment_without_deliveries_for_a_while_comes_back() -> None:
    queues = opened(A, B, environments="xy")
    offer(queues, A, 1)
    offer(queues, B, 2)
    assert len(taken(queues)) == 3
    queues.offer(delivery(1, A))
    assert [one.id for one in taken(queues)] == [1]


# ── how many before the first answer ────────────────────────────────────────────────────────────


def test_before_the_first_answer_few_requests_are_in_flight() -> None:
    queues = opened(A)
    offer(queues, A)
    assert len(taken(queues)) == PROBE_LIMIT
    assert queues.next_alarm() == NOW + SLOW_SECONDS


def test_after_a_quick_answer_the_limit_of_the_endpoint_applies() -> None:
    queues = opened(A)
    proven(queues, A)
    offer(queues, A)
    assert len(taken(queues)) == 10


def test_an_endpoint_that_does_not_answer_for_a_while_is_slow() -> None:
    queues = opened(A)
    offer(queues, A)
    taken(queues)
    assert taken(queues, NOW + SLOW_SECONDS / 2) == []
    assert len(taken(queues, NOW + SLOW_SECONDS)) == 6 - PROBE_LIMIT


def test_an_endpoint_that_was_failing_is_slow_until_it_answers() -> None:
    queues = opened(B)
    queues.configure(A, QueueSettings(limit=10, environment_id="x", is_failing=True))
    proven(queues, B, took=SLOW_SECONDS)
    offer(queues, B)
    assert len(taken(queues)) == 6
    offer(queues, A)
    assert taken(queues) == []


def test_an_endpoint_that_begins_to_fail_while_it_is_known_does_not_count_as_slow() -> None:
    queues = opened(A, B)
    proven(queues, A)
    proven(queues, B, took=SLOW_SECONDS)
    offer(queues, B)
    assert len(taken(queues)) == 6
    queues.configure(A, QueueSettings(limit=10, environment_id="x", is_failing=True))
    offer(queues, A)
    assert len(taken(queues)) == 10


# ── the slow ones ───────────────────────────────────────────────────────────────────────────────


def test_slow_endpoints_share_their_slots_and_quick_ones_need_none() -> None:
    queues = opened(A, B, C)
    proven(queues, A, B, took=SLOW_SECONDS)
    proven(queues, C)
    for endpoint_id in (A, B, C):
        offer(queues, endpoint_id)
    started = [one.endpoint_id for one in taken(queues)]
    assert started.count(A) == started.count(B) == 3
    assert started.count(C) == 10


def test_a_free_slow_slot_goes_to_the_queue_that_has_waited_longest() -> None:
    queues = opened(A, B, slow=2)
    proven(queues, A, B, took=SLOW_SECONDS)
    offer(queues, A)
    offer(queues, B)
    first = taken(queues)
    order = [one.endpoint_id for one in first]
    for _ in range(6):
        finish(queues, first.pop(0), took=SLOW_SECONDS)
        first += taken(queues)
        order.append(first[-1].endpoint_id)
    assert order == [A, B] * 4


def test_an_endpoint_is_quick_again_when_no_answer_has_been_late_for_a_while() -> None:
    queues = opened(A, slow=2)
    proven(queues, A, took=SLOW_SECONDS)
    late_at = NOW + SLOW_SECONDS
    offer(queues, A)
    for now, expected in ((late_at, 2), (late_at + CLEAR_SECONDS, 10)):
        (first, second) = taken(queues, now)
        finish(queues, first, took=QUICK)
        started = taken(queues, now)
        assert len(started) + 1 == expected
        finish(queues, second, *started, took=QUICK)


def test_an_endpoint_that_answers_some_requests_at_once_and_leaves_others_stays_slow() -> None:
    queues = opened(A, slow=8, limit=100)
    proven(queues, A, took=SLOW_SECONDS)
    for number in range(100):
        queues.offer(delivery(number, A))
    hanging = 0
    for quarter in range(1, 20):
        for one in taken(queues, NOW + quarter * SLOW_SECONDS / 4):
            if one.id % 4 == 0:
                finish(queues, one, took=QUICK)
            else:
                hanging += 1
    assert hanging == 8


def test_slots_that_an_endpoint_gives_back_as_it_is_quick_again_go_to_those_that_wait() -> None:
    queues = opened(A, B, C, slow=4, limit=4)
    proven(queues, A, B, took=SLOW_SECONDS)
    proven(queues, C)
    offer(queues, A, 4)
    under_way = taken(queues, NOW + CLEAR_SECONDS + SLOW_SECONDS)
    offer(queues, B, 1)
    offer(queues, C, 8)
    busy = taken(queues, NOW + CLEAR_SECONDS + SLOW_SECONDS)
    assert {one.endpoint_id for one in busy} == {C}  # B waits for a slot, and C is never idle
    finish(queues, under_way[0], took=QUICK)
    finish(queues, busy[0], took=QUICK)
    started = queues.take(NOW + CLEAR_SECONDS + SLOW_SECONDS)
    assert started
    assert started.endpoint_id == B


def test_a_resting_queue_that_waits_for_a_slot_does_not_hold_up_the_others() -> None:
    queues = opened(A, B, slow=1)
    proven(queues, A, B, took=SLOW_SECONDS)
    for endpoint_id in (A, B):
        offer(queues, endpoint_id, 2)
    (first,) = taken(queues)
    assert first.endpoint_id == A
    queues.rest(A, NOW + 3600)
    queues.rest(B, NOW + 3600)
    finish(queues, first, took=SLOW_SECONDS)
    assert taken(queues) == []
    queues.configure(B, QueueSettings(limit=10, is_stopped=True))
    queues.configure(B, QueueSettings(limit=10))
    offer(queues, B, 1)
    assert [one.endpoint_id for one in taken(queues)] == [B]


def test_slow_endpoints_of_one_environment_leave_slots_to_those_of_others() -> None:
    queues = opened(A, B, C, environments="xxy", slow=16, limit=100)
    proven(queues, A, B, C, took=SLOW_SECONDS)
    offer(queues, A)
    offer(queues, B)
    assert len(taken(queues)) == 14
    offer(queues, C, 1)
    assert [one.endpoint_id for one in taken(queues)] == [C]


def test_slow_endpoints_of_the_only_environment_take_all_their_slots() -> None:
    queues = opened(A, B, slow=16, limit=100)
    proven(queues, A, B, took=SLOW_SECONDS)
    offer(queues, A)
    offer(queues, B)
    assert len(taken(queues)) == 16


def test_a_free_slow_slot_goes_to_the_environment_that_holds_the_fewest() -> None:
    queues = opened(A, B, C, environments="xxy", slow=5, limit=100)
    proven(queues, A, B, C, took=SLOW_SECONDS)
    offer(queues, A)
    offer(queues, B)
    held = taken(queues)
    assert len(held) == 5
    offer(queues, C)
    assert [one.endpoint_id for one in taken(queues)] == [C]
    for started in ([], [C], [B]):  # then both hold as many, and B has waited longer
        finish(queues, held.pop(0), took=SLOW_SECONDS)
        assert [one.endpoint_id for one in taken(queues)] == started


def test_endpoints_that_all_become_slow_at_once_leave_few_slots_to_environments_without() -> None:
    queues = opened(A, B, C, D, environments="xxyz", slow=16, limit=30)
    proven(queues, A, B)
    proven(queues, C, D, took=SLOW_SECONDS)
    offer(queues, A, 60)
    offer(queues, B, 60)
    silent = taken(queues)
    assert len(silent) == 60
    finish(queues, silent[0], silent[1], took=SLOW_SECONDS)
    assert taken(queues) == []
    offer(queues, C, 2)
    offer(queues, D, 2)
    extra = taken(queues)
    assert [one.endpoint_id for one in extra] == [C]
    finish(queues, extra[0], took=SLOW_SECONDS)
    assert [one.endpoint_id for one in taken(queues)] == [D]


@given(
    st.lists(st.tuples(st.sampled_from((A, B, C)), st.booleans(), st.integers(0, 3)), max_size=60)
)
def test_every_delivery_starts_in_the_end(
    steps: list[tuple[UUID, bool, int]],
) -> None:
    queues = opened(A, B, C, slow=2, environments="xyx")
    under_way: list[Delivery] = []
    now, offered, started = NOW, 0, 0
    for endpoint_id, quick, landing in steps:
        offered += 1
        queues.offer(delivery(offered, endpoint_id))
        under_way += (fresh := taken(queues, now))
        started += len(fresh)
        for one in under_way[:landing]:
            finish(queues, one, took=QUICK if quick else SLOW_SECONDS)
        del under_way[:landing]
        now += SLOW_SECONDS / 3
    while True:
        under_way += (fresh := taken(queues, now))
        started += len(fresh)
        if not under_way:
            break
        finish(queues, under_way.pop(0), took=SLOW_SECONDS)
    assert started == offered


# ── the last slots ──────────────────────────────────────────────────────────────────────────────


def test_quick_endpoints_that_stop_answering_leave_slots_to_other_environments() -> None:
    queues = opened(A, B, C, environments="xxy", slots=16, limit=100)
    proven(queues, A, B, C)
    offer(queues, A)
    offer(queues, B)
    silent = taken(queues)
    assert len(silent) == 14
    offer(queues, C, 1)
    (healthy,) = taken(queues)
    assert healthy.endpoint_id == C
    finish(queues, healthy, took=QUICK)
    offer(queues, C, 1)
    assert [one.endpoint_id for one in taken(queues)] == [C]


def test_an_environment_at_its_share_continues_when_a_slot_is_free() -> None:
    queues = opened(A, C, environments="xy", slots=8, limit=100)
    proven(queues, A, C)
    offer(queues, A)
    held = taken(queues)
    assert len(held) == 7
    finish(queues, held[0], took=QUICK)
    assert len(taken(queues)) == 1


def test_several_environments_leave_a_slot_to_another_one() -> None:
    queues = opened(A, B, C, environments="xyz", slots=64, limit=100)
    proven(queues, A, B, C)
    offer(queues, A, 64)
    offer(queues, B, 64)
    assert len(taken(queues)) < 64
    offer(queues, C, 1)
    assert [one.endpoint_id for one in taken(queues)] == [C]


def test_an_environment_alone_takes_every_slot() -> None:
    queues = opened(A, B, environments="xx", slots=16, limit=100)
    proven(queues, A, B)
    offer(queues, A)
    assert len(taken(queues)) == 20


def test_slots_are_left_to_environments_whose_endpoints_are_not_known_yet() -> None:
    queues = opened(A, B, environments="xx", slots=16, limit=100)
    proven(queues, A, B)
    queues.share_slots(True)
    offer(queues, A)
    assert len(taken(queues)) == 14
    queues.configure(C, QueueSettings(limit=10, environment_id="y"))
    offer(queues, C, 1)
    assert [one.endpoint_id for one in taken(queues)] == [C]


def test_an_environment_whose_queues_are_closed_does_not_count() -> None:
    queues = opened(A, C, environments="xy", slots=8, limit=100)
    proven(queues, A, C)
    offer(queues, A)
    assert len(taken(queues)) == 7
    assert queues.close(C)
    assert len(taken(queues)) == 13
