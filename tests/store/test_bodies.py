"""Bodies in memory: read together, kept while wanted, and never waited for in vain."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from dispatcher import payload
from dispatcher.bodies import READ_AT_ONCE, Bodies
from dispatcher.store.events import Events
from dispatcher.store.session import Session, StoreUnavailable
from tests.conftest import Connection
from tests.store import rows


class Watched(Events):
    """Events that tell what was asked for together, and fail or lie when told to."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.asked: list[set[int]] = []
        self.failure: Exception | None = None
        self.spoils = False

    async def with_ids(self, ids: Collection[int]) -> Sequence[Mapping[str, Any]]:
        self.asked.append(set(ids))
        if self.failure is not None:
            raise self.failure
        found = await super().with_ids(ids)
        return [{**row, "data": None, "type": 5} for row in found] if self.spoils else found


@pytest.fixture
def events(session: Session) -> Watched:
    return Watched(session)


async def emitted(connection: Connection, count: int, data: str = "1") -> list[int]:
    return [await rows.event(connection, data=data) for _ in range(count)]


async def test_a_body_is_read_once_and_then_in_memory(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=1000)
    (number,) = await emitted(connection, 1, '{"a":1.10}')
    assert bodies.get(number) is None
    event = await bodies.read(number)
    assert event is not None
    assert (event.id, event.type) == (number, "user.created")
    assert event.body == payload.build(number, "user.created", "env_default", '{"a":1.10}')
    assert bodies.get(number) is event
    assert len(events.asked) == 1


async def test_an_event_that_is_not_there_is_none_and_asked_for_again(events: Watched) -> None:
    bodies = Bodies(events, capacity=1000)
    assert [await bodies.read(5), await bodies.read(5)] == [None, None]
    assert events.asked == [{5}, {5}]


async def test_what_many_miss_at_once_is_read_together(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=10**6)
    numbers = await emitted(connection, READ_AT_ONCE + 20)
    found = await asyncio.gather(*(bodies.read(number) for number in numbers * 2))
    assert [event and event.id for event in found] == numbers * 2
    assert [len(ids) for ids in events.asked] == [READ_AT_ONCE, 20]


async def test_the_events_that_come_next_are_read_along(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=10**6)
    numbers = await emitted(connection, 10)
    await bodies.read(numbers[0], iter(numbers[1:]))
    assert all(bodies.get(number) for number in numbers)
    assert events.asked == [set(numbers)]


async def test_the_events_that_come_next_are_read_before_they_are_missed(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=10**6)
    first, *later = await emitted(connection, 5)
    await bodies.read(first)
    for _ in range(READ_AT_ONCE):
        bodies.get(first, iter(later))
    await bodies.read(5)  # whatever is under way has been read by then
    assert all(bodies.get(number) for number in later)


async def test_those_used_longest_ago_are_forgotten_first(
    connection: Connection, events: Watched
) -> None:
    numbers = await emitted(connection, 4)
    bodies = Bodies(
        events, capacity=3 * len(payload.build(numbers[0], "user.created", "env_default", "1"))
    )
    for number in numbers[:3]:
        await bodies.read(number)
    bodies.get(numbers[0])
    await bodies.read(numbers[3])
    assert [bodies.get(number) is not None for number in numbers] == [True, False, True, True]


async def test_one_body_beyond_the_capacity_is_kept_until_the_next(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=10)
    one, two = await emitted(connection, 2)
    await bodies.read(one)
    assert bodies.get(one) is not None
    await bodies.read(two)
    assert bodies.get(one) is None
    assert bodies.get(two) is not None


async def test_a_failure_is_heard_by_all_who_wait_and_the_next_read_is_a_new_one(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=1000)
    numbers = await emitted(connection, 3)
    events.failure = StoreUnavailable("away")
    heard = await asyncio.gather(*(bodies.read(n) for n in numbers), return_exceptions=True)
    assert heard == [events.failure] * 3
    events.failure = None
    assert await bodies.read(numbers[0]) is not None


async def test_a_row_no_body_can_be_made_of_leaves_nobody_waiting(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=1000)
    (number,) = await emitted(connection, 1)
    events.spoils = True
    async with asyncio.timeout(5):
        with pytest.raises(TypeError):
            await bodies.read(number)
        events.spoils = False
        assert await bodies.read(number) is not None


async def test_one_who_is_cancelled_takes_nothing_from_the_others(
    connection: Connection, events: Watched
) -> None:
    bodies = Bodies(events, capacity=1000)
    (number,) = await emitted(connection, 1)
    one, other = [asyncio.create_task(bodies.read(number)) for _ in range(2)]
    await asyncio.sleep(0)
    one.cancel()
    assert await other is not None
