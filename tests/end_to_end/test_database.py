"""The database goes away, comes back, is slow to answer, refuses: nothing is lost and no daemon dies."""

import asyncio
import random
import time

import pytest
from aiohttp import ClientSession

from dispatcher.daemon.daemon import Daemon
from dispatcher.engine.loading import overdue_search
from tests.conftest import connected
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver
from tests.waiting import until

pytestmark = pytest.mark.long

BACKSTOP = 8.0
"""Seconds, on any machine, to an event whose notification was lost. The sweep comes after 10."""


async def test_an_event_whose_notification_was_lost_arrives_soon(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start()
    assert await story.terminate("listen") == 1
    began = time.monotonic()
    await story.insert()
    await receiver.wait_for(1)
    assert time.monotonic() - began < BACKSTOP


async def test_events_emitted_while_no_daemon_can_connect_arrive_later(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    async with story.unreachable():
        await story.insert(100)
        assert receiver.requests == []
    await story.ended(DELIVERED=100)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 101), 1)
    assert daemons.alive(daemon)


async def test_without_a_database_the_daemon_is_alive_and_not_ready(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    daemon = await daemons.start()
    assert await _answers(daemon) == {"livez": 200, "readyz": 200}
    async with story.unreachable():
        await until(lambda: _is_unready(daemon), "it says that it is not ready")
    await until(lambda: _is_ready(daemon), "it is ready again")


async def test_sessions_terminated_at_random_under_load_lose_nothing(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    chance = random.Random(1)
    sessions = ["lease", "fanout", "record", "load", "endpoints", "bodies", "upkeep", "listen"]
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.005)
    daemon = await daemons.start()
    async with connected(story.dsn) as producer:
        emitter = Story(story.dsn, producer, daemons.cipher)
        load = asyncio.create_task(_emit(emitter, 1_200))
        while not load.done():
            await story.terminate(chance.choice(sessions))
            await asyncio.sleep(0.1)  # some work is done between two losses
        await load
    await story.ended(DELIVERED=1_200)
    arrived = numbers(receiver.requests)
    assert set(arrived) == set(range(1_200))
    assert daemons.alive(daemon)


@pytest.mark.parametrize("session", ["fanout", "record", "load", "bodies"])
async def test_a_session_lost_in_the_middle_of_its_work_loses_no_delivery(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    session: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overdue_search, "EVERY_SECONDS", 600.0)
    await story.subscribe(receiver.url)
    receiver.answers = [500] * 50
    await daemons.start()
    for n in range(5):
        await story.insert(100, first=100 * n)
        await story.terminate(session)
    await story.ended(DELIVERED=500)


async def test_sending_stops_while_results_cannot_be_written_and_continues_then(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(
        database={"statement_timeout": "500ms"}, delivery={"concurrency": 20, "max_in_flight": 20}
    )
    async with connected(story.dsn) as locker, locker.transaction():
        await locker.execute("LOCK TABLE dispatcher.attempts IN ACCESS EXCLUSIVE MODE")
        await story.insert(1_000)
        await receiver.wait_for(500)
        await asyncio.sleep(0.5)  # nothing more may be sent in this time
        await until(lambda: receiver.in_flight == 0, "all requests are answered")
        assert len(receiver.requests) <= 500 + 20
    await story.ended(DELIVERED=1_000)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 1_001), 1)


async def test_results_the_database_refuses_stop_the_sending_and_not_the_daemon(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start(delivery={"concurrency": 20, "max_in_flight": 20})
    await story.connection.execute(
        "ALTER TABLE dispatcher.attempts ADD CONSTRAINT full_ CHECK (false) NOT VALID"
    )
    await story.insert(1_000)
    await receiver.wait_for(500)
    await asyncio.sleep(0.5)  # nothing more may be sent in this time
    assert len(receiver.requests) <= 500 + 20
    assert daemons.alive(daemon)
    await story.connection.execute("ALTER TABLE dispatcher.attempts DROP CONSTRAINT full_")
    await story.ended(DELIVERED=1_000)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 1_001), 1)


async def test_a_database_too_slow_for_large_batches_of_results_is_given_smaller_ones(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await story.connection.execute(
        "CREATE FUNCTION dispatcher.slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;"
        "CREATE TRIGGER slow BEFORE INSERT ON dispatcher.attempts"
        " FOR EACH ROW EXECUTE FUNCTION dispatcher.slow()"
    )
    await daemons.start(database={"statement_timeout": "500ms"})
    await story.insert(600)
    await story.ended(DELIVERED=600)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 601), 1)


@pytest.mark.parametrize("table", ["inbox", "deliveries"])
async def test_a_lock_held_on_a_table_is_waited_for_and_no_event_is_blamed(
    story: Story, daemons: Daemons, receiver: Receiver, table: str
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start(database={"statement_timeout": "400ms"})
    async with connected(story.dsn) as locker, locker.transaction():
        await locker.execute(f"LOCK TABLE dispatcher.{table} IN ACCESS EXCLUSIVE MODE")
        for n in range(20):
            if table != "inbox":
                await story.insert(first=n)
            await story.connection.execute("NOTIFY dispatcher")
            await asyncio.sleep(0.05)  # all of them take longer than some timeouts
    if table == "inbox":
        await story.insert(20, first=0)
    await story.ended(DELIVERED=20)
    assert await story.connection.fetchval("SELECT count(*) FROM dispatcher.quarantine") == 0
    assert numbers(receiver.requests) == dict.fromkeys(range(20), 1)
    assert daemons.alive(daemon)


async def _emit(emitter: Story, count: int) -> None:
    for n in range(0, count, 10):
        await emitter.insert(10, first=n)
        await asyncio.sleep(0.01)  # the pace of a producer


async def _answers(daemon: Daemon) -> dict[str, int]:
    async with ClientSession(daemon.admin_address) as client:
        answers = {}
        for path in ("livez", "readyz"):
            async with client.get(f"/{path}") as response:
                answers[path] = response.status
        return answers


async def _is_unready(daemon: Daemon) -> bool:
    return await _answers(daemon) == {"livez": 200, "readyz": 503}


async def _is_ready(daemon: Daemon) -> bool:
    return await _answers(daemon) == {"livez": 200, "readyz": 200}
