"""Sending is paused and goes on, while events are emitted all the time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.pauses import Pauses
from dispatcher.services.propagation import wait_until_applied
from dispatcher.store.pool import Pool
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.session import Session
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver
from tests.waiting import until

ENVIRONMENT = "env_default"


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    session = Session(dsn, "people")
    yield Pool([session])
    await session.close()


@asynccontextmanager
async def changing(pool: Pool) -> AsyncIterator[Pauses]:
    """A change, and every daemon's word that it is acted on."""
    async with pool.transaction() as session:
        yield Pauses(session, Actor("test"))
    version = (await Endpoints(pool).changed_since(0)).version
    assert await wait_until_applied(pool, version)


@pytest.mark.parametrize("environment", [ENVIRONMENT, None])
async def test_nothing_is_sent_while_paused_and_everything_afterwards(
    story: Story, daemons: Daemons, pool: Pool, receiver: Receiver, environment: str | None
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start()
    await story.insert(10)
    await story.ended(DELIVERED=10)
    async with changing(pool) as pauses:
        await pauses.pause(environment)
    await story.insert(50, first=11)
    await until(lambda: _parked(story, 50), "they are stored, and held")
    assert len(receiver.requests) == 10
    async with changing(pool) as pauses:
        await pauses.resume(environment)
    await receiver.wait_for(60)
    await story.ended(DELIVERED=60)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 61), 1)


@pytest.mark.long
async def test_no_send_starts_once_every_daemon_has_confirmed(
    story: Story, daemons: Daemons, pool: Pool, receiver: Receiver
) -> None:
    # Slow answers: on a slow machine too, some events are left when the pause is confirmed.
    receiver.otherwise = Answer(200, delay=0.25)
    await story.subscribe(receiver.url, max_in_flight=4)
    await daemons.start()
    await daemons.start()
    await story.insert(400)
    await receiver.wait_for(20)
    async with changing(pool) as pauses:
        await pauses.pause(ENVIRONMENT)
    await until(lambda: receiver.in_flight == 0, "what was under way is over")
    await until(lambda: _parked(story, 400 - len(receiver.requests)), "the others are held")
    sent = len(receiver.requests)
    assert 20 <= sent < 400
    await daemons.start()  # one that comes now holds as well
    await story.insert(first=401)
    await until(lambda: _parked(story, 401 - sent), "so is the new one")
    assert len(receiver.requests) == sent
    receiver.otherwise = 200
    async with changing(pool) as pauses:
        await pauses.resume(ENVIRONMENT)
    await story.ended(DELIVERED=401)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 402), 1)


async def test_a_webhook_made_while_its_environment_is_paused_waits_too(
    story: Story, daemons: Daemons, pool: Pool, receiver: Receiver
) -> None:
    await daemons.start()
    async with changing(pool) as pauses:
        await pauses.pause(ENVIRONMENT)
    await story.subscribe(receiver.url)
    await story.insert(3)
    await until(lambda: _parked(story, 3), "they are held")
    assert receiver.requests == []
    async with changing(pool) as pauses:
        await pauses.resume(ENVIRONMENT)
    await story.ended(DELIVERED=3)


async def test_a_retry_that_comes_due_while_paused_is_made_afterwards(
    story: Story, daemons: Daemons, pool: Pool, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"base": "300ms"}, delivery={"timeout": "30s"})
    paused = asyncio.Event()
    receiver.answers = [Answer(500, after=paused)]
    await story.insert()
    await receiver.wait_for(1)
    async with changing(pool) as pauses:
        await pauses.pause(None)
    paused.set()
    await until(lambda: _parked(story, 1), "it came due, and is held")
    assert len(receiver.requests) == 1
    async with changing(pool) as pauses:
        await pauses.resume(None)
    await story.ended(DELIVERED=1)
    assert [r.headers["X-Dispatcher-Attempt"] for r in receiver.requests] == ["1", "2"]


async def test_a_daemon_started_paused_sends_nothing_until_it_is_resumed(
    story: Story, daemons: Daemons, pool: Pool, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    paused = await daemons.start(delivery={"paused": True})
    await story.insert(5)
    await until(lambda: _parked(story, 5), "they are fanned out, and held")
    await daemons.stop(paused)
    await daemons.start()  # it has not been resumed yet
    await story.insert(first=6)
    await until(lambda: _parked(story, 6), "the sixth as well")
    assert receiver.requests == []
    async with changing(pool) as pauses:
        await pauses.resume(None)
    await story.ended(DELIVERED=6)


async def _parked(story: Story, count: int) -> bool:
    return await story.count("parked") == count
