"""A daemon that can start nothing at present waits, and does not spin."""

import asyncio
import time

import pytest

from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Answer, Receiver

LARGE = """
INSERT INTO dispatcher.events (type, data)
SELECT 'user.created', json_build_object('n', n, 'text', repeat('x', 2000)) FROM generate_series(1, $1::int) AS n
"""
"""Data that does not come with its delivery, because it is long."""


@pytest.mark.long
async def test_a_pause_that_ends_during_an_outage_of_the_database_causes_no_load(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, max_in_flight=1)
    receiver.answers = [Answer(503, headers={"Retry-After": "1"})]
    await daemons.start()
    await story.insert(3)
    await receiver.wait_for(1)
    async with story.unreachable():
        await asyncio.sleep(1.2)  # the pause of one second ends
        worked, began = time.process_time(), time.monotonic()
        await asyncio.sleep(0.5)  # its work in this time is measured
        assert time.process_time() - worked < 0.3 * (time.monotonic() - began)
    await story.ended(DELIVERED=3)


@pytest.mark.long
async def test_unreadable_bodies_are_read_again_with_delays(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    bodies = daemon._engine.sessions.bodies
    bodies._dsn, dsn = "postgresql://127.0.0.1:1/missing", bodies._dsn
    bodies.drop()
    await story.connection.execute(LARGE, 2_000)
    await asyncio.sleep(1.0)  # the first attempts, at short intervals, are over
    worked, began = time.process_time(), time.monotonic()
    await asyncio.sleep(0.5)  # its work in this time is measured
    assert time.process_time() - worked < 0.3 * (time.monotonic() - began)
    bodies._dsn = dsn
    await story.ended(DELIVERED=2_000)
    assert len(receiver.requests) == 2_000
