"""BodyCache in memory: bounded, whatever they are."""

import pytest

from dispatcher.engine.body_cache import EVENT_OVERHEAD_BYTES, BodyCache
from dispatcher.store.events import Events
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

ROOM = 10
"""How many small bodies there is room for, or a few more."""


@pytest.mark.parametrize("size", [1, 10, 100_000])
async def test_the_cache_keeps_only_what_fits_and_all_bodies_can_be_read(
    connection: Connection, session: Session, size: int
) -> None:
    bodies = BodyCache(Events(session), capacity=ROOM * (EVENT_OVERHEAD_BYTES + 200))
    events = [await rows.event(connection, data=f'"{"x" * size}"') for _ in range(30)]
    for event in (*events, *events):
        read = await bodies.read(event)
        assert read is not None
        assert (read.id, b"x" * size in read.body) == (event, True)
        assert bodies.get(event) is read
        assert 1 <= len(bodies._cached) <= ROOM + 3
