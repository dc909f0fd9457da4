"""BodyCache in memory: bounded, whatever they are."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import pytest

from dispatcher.engine.sending import body_cache
from dispatcher.engine.sending.body_cache import EVENT_OVERHEAD_BYTES, BodyCache
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.events import Events, EventToSendRow
from dispatcher.store.queries.inbox import SmallEvent
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

ENDPOINT = UUID(int=1)
ROOM = 10
"""How many small bodies there is room for, or a few more."""


def nothing_next(_: UUID) -> Iterable[int]:
    return ()


@pytest.mark.parametrize("size", [1, 10, 100_000])
async def test_the_cache_keeps_only_what_fits_and_all_bodies_can_be_read(
    connection: Connection, session: Session, size: int
) -> None:
    bodies = BodyCache(Events(session), nothing_next, capacity=ROOM * (EVENT_OVERHEAD_BYTES + 200))
    events = [await rows.event(connection, data=f'"{"x" * size}"') for _ in range(30)]
    for event in (*events, *events):
        read = await bodies.read(event, ENDPOINT)
        assert read is not None
        assert (read.id, b"x" * size in read.body) == (event, True)
        assert bodies.get(event, ENDPOINT) is read
        assert 1 <= len(bodies._cached) <= ROOM + 3


async def test_events_that_do_not_fit_into_one_answer_are_read_by_the_next(
    connection: Connection, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_cache, "READ_LIMIT_BYTES", 250)
    statements: list[Collection[int]] = []

    class Counted(Events):
        async def to_send(self, ids: Collection[int], most_bytes: int) -> Sequence[EventToSendRow]:
            statements.append(ids)
            return await super().to_send(ids, most_bytes)

    bodies = BodyCache(Counted(session), nothing_next, capacity=2**20)
    events = [await rows.event(connection, data=f'"{"x" * 98}"') for _ in range(7)]
    missing = max(events) + 1
    read = await asyncio.gather(*(bodies.read(event, ENDPOINT) for event in [*events, missing]))
    assert [event.id if event else None for event in read] == [*events, None]
    assert len(statements) == 3  # three events each


async def test_a_statement_that_times_out_is_repeated_with_fewer_events() -> None:
    asked: list[int] = []

    class Slow:
        async def to_send(self, ids: Collection[int], most_bytes: int) -> list[dict[str, object]]:
            asked.append(len(ids))
            if len(ids) > 10:
                raise StatementTimeoutError("too slow")
            return [{"id": i, "type": "a", "environment_id": "e", "data": "1"} for i in ids]

    bodies = BodyCache(Slow(), nothing_next, capacity=2**20)  # type: ignore[arg-type] # as much of it as is used
    read = await asyncio.gather(*(bodies.read(number, ENDPOINT) for number in range(1, 101)))
    assert [event and event.id for event in read] == list(range(1, 101))
    assert asked[:3] == [100, 25, 6]


async def test_an_event_that_came_with_its_delivery_is_the_same_as_one_that_is_read(
    connection: Connection, session: Session
) -> None:
    event = await rows.event(connection, data='{"é": 1.10}')
    bodies, others = (BodyCache(Events(session), nothing_next, capacity=2**20) for _ in range(2))
    small = SmallEvent(event, "user.created", "env_default", '{"é": 1.10}'.encode())
    bodies.add([small._replace(data=b"\xff"), small])
    assert bodies.get(event, ENDPOINT) == await others.read(event, ENDPOINT)


async def test_an_event_that_cannot_be_decoded_is_left_to_its_read(session: Session) -> None:
    bodies = BodyCache(Events(session), nothing_next, capacity=2**20)
    bodies.add([SmallEvent(1, "user.created", "env_default", b"\xff")])
    assert bodies.get(1, ENDPOINT) is None
