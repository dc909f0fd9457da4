"""Environments take turns, and slow endpoints share a part of the places under way."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.model import Delivery
from dispatcher.engine.endpoint_queues import PROBES, SLOW, Lanes

A, B, C = (UUID(int=n) for n in (1, 2, 3))
NOW = 1000.0
QUICK = SLOW / 10


def opened(*endpoint_ids: UUID, slow: int = 6, environments: str = "xxx") -> Lanes:
    lanes = Lanes(100, slow=slow)
    for endpoint_id, environment in zip(endpoint_ids, environments, strict=False):
        lanes.configure(
            endpoint_id,
            limit=10,
            holding=False,
            ordered=False,
            paused_until=0.0,
            environment_id=environment,
        )
    return lanes


def offer(lanes: Lanes, to: UUID, count: int = 20) -> None:
    for number in range(count):
        assert lanes.offer(delivery(to.int * 100 + number, to))


def delivery(number: int, to: UUID) -> Delivery:
    return Delivery(number, number, to, 0, 0, 0, 0.0)


def taken(lanes: Lanes, now: float = NOW) -> list[Delivery]:
    """Everything that can be started now."""
    found = []
    while (one := lanes.take(now)) is not None:
        found.append(one)
    return found


def land(lanes: Lanes, *deliveries: Delivery, took: float) -> None:
    for one in deliveries:
        lanes.land(one, took)
        lanes.settle(one)


def proven(lanes: Lanes, *endpoint_ids: UUID, took: float = QUICK) -> None:
    """Each has answered once."""
    for endpoint_id in endpoint_ids:
        lanes.offer(delivery(endpoint_id.int * 1000, endpoint_id))
    land(lanes, *taken(lanes), took=took)


# ── turns ───────────────────────────────────────────────────────────────────────────────────────


def test_an_environment_with_one_endpoint_has_as_many_turns_as_one_with_many() -> None:
    lanes = opened(A, B, C, environments="xxy")
    for endpoint_id in (A, B, C):
        offer(lanes, endpoint_id, 2)
    assert [one.endpoint_id for one in taken(lanes)] == [A, C, B, C, A, B]


def test_an_environment_that_had_nothing_for_a_while_comes_back() -> None:
    lanes = opened(A, B, environments="xy")
    offer(lanes, A, 1)
    offer(lanes, B, 2)
    assert len(taken(lanes)) == 3
    lanes.offer(delivery(1, A))
    assert [one.id for one in taken(lanes)] == [1]


# ── how many before the first answer ────────────────────────────────────────────────────────────


def test_before_the_first_answer_a_few_are_under_way() -> None:
    lanes = opened(A)
    offer(lanes, A)
    assert len(taken(lanes)) == PROBES
    assert lanes.next_alarm() == NOW + SLOW


def test_after_a_quick_answer_as_many_as_the_endpoint_may_have() -> None:
    lanes = opened(A)
    proven(lanes, A)
    offer(lanes, A)
    assert len(taken(lanes)) == 10


def test_without_an_answer_for_a_while_it_is_slow_and_may_have_what_slow_ones_have() -> None:
    lanes = opened(A)
    offer(lanes, A)
    taken(lanes)
    assert taken(lanes, NOW + SLOW / 2) == []
    assert len(taken(lanes, NOW + SLOW)) == 6 - PROBES


# ── the slow ones ───────────────────────────────────────────────────────────────────────────────


def test_slow_endpoints_share_their_places_and_quick_ones_need_none() -> None:
    lanes = opened(A, B, C)
    proven(lanes, A, B, took=SLOW)
    proven(lanes, C)
    for endpoint_id in (A, B, C):
        offer(lanes, endpoint_id)
    started = [one.endpoint_id for one in taken(lanes)]
    assert started.count(A) == started.count(B) == 3
    assert started.count(C) == 10


def test_a_place_that_becomes_free_goes_to_those_who_stand_by_in_turn() -> None:
    lanes = opened(A, B, slow=2)
    proven(lanes, A, B, took=SLOW)
    offer(lanes, A)
    offer(lanes, B)
    first = taken(lanes)
    order = [one.endpoint_id for one in first]
    for _ in range(6):
        land(lanes, first.pop(0), took=SLOW)
        first += taken(lanes)
        order.append(first[-1].endpoint_id)
    assert order == [A, B] * 4


def test_a_quick_answer_makes_it_quick_again_at_once() -> None:
    lanes = opened(A, B)
    proven(lanes, A, B, took=SLOW)
    offer(lanes, A)
    offer(lanes, B)
    under_way = taken(lanes)
    assert len(under_way) == 6
    (mine, *others) = [one for one in under_way if one.endpoint_id == A]
    land(lanes, mine, took=QUICK)
    started = [one.endpoint_id for one in taken(lanes)]
    assert started.count(A) == 10 - len(others)
    assert started.count(B) == 10 - 7


def test_one_that_stands_by_and_rests_keeps_nobody_else_waiting() -> None:
    lanes = opened(A, B, slow=1)
    proven(lanes, A, B, took=SLOW)
    for endpoint_id in (A, B):
        offer(lanes, endpoint_id, 2)
    (first,) = taken(lanes)
    assert first.endpoint_id == A
    lanes.pause(A, NOW + 3600)
    lanes.pause(B, NOW + 3600)
    land(lanes, first, took=SLOW)
    assert taken(lanes) == []
    lanes.configure(B, limit=10, holding=True, ordered=False, paused_until=0.0)
    lanes.configure(B, limit=10, holding=False, ordered=False, paused_until=0.0)
    offer(lanes, B, 1)
    assert [one.endpoint_id for one in taken(lanes)] == [B]


@given(
    st.lists(st.tuples(st.sampled_from((A, B, C)), st.booleans(), st.integers(0, 3)), max_size=60)
)
def test_whatever_happens_everything_is_started_in_the_end(
    steps: list[tuple[UUID, bool, int]],
) -> None:
    lanes = opened(A, B, C, slow=2, environments="xyx")
    under_way: list[Delivery] = []
    now, offered, started = NOW, 0, 0
    for endpoint_id, quick, landing in steps:
        offered += 1
        lanes.offer(delivery(offered, endpoint_id))
        under_way += (fresh := taken(lanes, now))
        started += len(fresh)
        for one in under_way[:landing]:
            land(lanes, one, took=QUICK if quick else SLOW)
        del under_way[:landing]
        now += SLOW / 3
    while True:
        under_way += (fresh := taken(lanes, now))
        started += len(fresh)
        if not under_way:
            break
        land(lanes, under_way.pop(0), took=SLOW)
    assert started == offered
