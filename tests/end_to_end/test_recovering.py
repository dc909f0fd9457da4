"""Recoveries by whole daemons: what failed and what was missed arrives, once, in order, in time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from dispatcher.engine.bulk import replayer, step_loop
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.replays import Recovery, Replays
from dispatcher.services.inputs.replay_inputs import NewRecovery
from dispatcher.store.session import Session
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver, Request
from tests.waiting import until

ENVIRONMENT = "env_default"
SINCE = datetime(2024, 1, 2, tzinfo=UTC)


class Desk:
    """A person who starts and cancels recoveries."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def start(self, webhook: UUID, **of: Any) -> Recovery:
        form = NewRecovery(**{"since": SINCE, **of})
        async with self._session.transaction() as opened:
            return await Replays(opened, Actor("cli:me")).start(ENVIRONMENT, webhook, form)

    async def cancel(self, started: Recovery) -> Recovery:
        async with self._session.transaction() as opened:
            recoveries = Replays(opened, Actor("cli:me"))
            return await recoveries.cancel(ENVIRONMENT, started.webhook_id, started.id)

    async def get(self, started: Recovery) -> Recovery:
        recoveries = Replays(self._session, Actor("cli:me"))
        return await recoveries.get(ENVIRONMENT, started.webhook_id, started.id)

    async def done(self, started: Recovery) -> Recovery:
        async def over() -> bool:
            return (await self.get(started)).state == "DONE"

        await until(over, "the recovery is done")
        return await self.get(started)


@pytest.fixture(autouse=True)
def _noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_loop, "IDLE_SECONDS", 0.1)


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    session = Session(dsn, "desk")
    yield Desk(session)
    await session.close()


def attempt(request: Request) -> int:
    return int(request.headers["X-Dispatcher-Attempt"])


def number(request: Request) -> int:
    event_number: int = orjson.loads(request.body)["data"]["n"]
    return event_number


async def miss(story: Story, count: int, *, first: int = 1) -> None:
    """Events that are emitted and fanned out while no endpoint subscribes to them."""
    await story.insert(count, first=first)
    await story.fanned_out()


async def test_a_replayed_delivery_keeps_its_id_and_attempt_numbers(
    story: Story, daemons: Daemons, receiver: Receiver, desk: Desk
) -> None:
    webhook = await story.subscribe(receiver.url)
    await daemons.start(retry={"retries": 1, "base": "50ms"})
    receiver.otherwise = 500
    await story.insert(20)
    await story.ended(FAILED=20)
    receiver.otherwise = 200
    await story.insert(5, first=21)
    await story.ended(FAILED=20, DELIVERED=5)
    failed = receiver.requests[:40]

    started = await desk.start(webhook.id)
    assert started.total == 20
    await story.ended(DELIVERED=25)
    over = await desk.done(started)
    assert (over.made, over.total, over.reached) == (20, 20, over.until)
    again = receiver.requests[45:]
    assert [attempt(r) for r in again] == [3] * 20
    names = {number(r): r.headers["X-Dispatcher-Delivery"] for r in failed}
    assert {number(r): r.headers["X-Dispatcher-Delivery"] for r in again} == names
    assert {r.body for r in again} == {r.body for r in failed}


async def test_a_retried_delivery_has_a_new_schedule(
    story: Story, daemons: Daemons, receiver: Receiver, desk: Desk
) -> None:
    webhook = await story.subscribe(receiver.url)
    await daemons.start(retry={"retries": 2, "base": "50ms"})
    receiver.otherwise = 500
    await story.insert(1)
    await story.ended(FAILED=1)
    await desk.start(webhook.id)
    await receiver.wait_for(6)
    await story.ended(FAILED=1)
    assert [attempt(r) for r in receiver.requests] == [1, 2, 3, 4, 5, 6]


async def test_events_missed_while_disabled_or_before_creation_are_sent_once(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver, desk: Desk
) -> None:
    await daemons.start()
    disabled = await story.subscribe(receiver.url, "user.*", active=False)
    await miss(story, 30)
    await story.insert(1, first=99, type_="order.created")
    late = await story.subscribe(another.url, "user.*")
    await story.change(disabled.id, active=True)
    for webhook in (disabled, late):
        assert (await desk.start(webhook.id)).total == 30
    await story.ended(DELIVERED=60)
    for one in (receiver, another):
        assert numbers(one.requests) == dict.fromkeys(range(1, 31), 1)
        assert [attempt(r) for r in one.requests] == [1] * 30
    second = await desk.start(late.id)
    assert (second.total, (await desk.done(second)).made) == (0, 0)


@pytest.mark.long
async def test_emitting_during_a_replay_sends_nothing_twice(
    story: Story, daemons: Daemons, receiver: Receiver, desk: Desk
) -> None:
    await daemons.start()
    await daemons.start()
    webhook = await story.subscribe(receiver.url, active=False)
    await miss(story, 500)
    await story.change(webhook.id, active=True)
    recoveries = []
    for n in range(5):
        started = await desk.start(webhook.id)
        await story.insert(50, first=501 + 50 * n)
        recoveries.append(await desk.done(started))
    await story.ended(DELIVERED=750)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 751), 1)
    assert sum(r.made for r in recoveries) == 500


async def test_a_replay_to_an_ordered_endpoint_keeps_the_order(
    story: Story, daemons: Daemons, receiver: Receiver, desk: Desk
) -> None:
    await daemons.start()
    webhook = await story.subscribe(receiver.url, active=False, ordered=True)
    await miss(story, 60)
    await story.change(webhook.id, active=True)
    await desk.start(webhook.id)
    await receiver.wait_for(60)
    assert [number(r) for r in receiver.requests] == list(range(1, 61))


@pytest.mark.long
async def test_a_restart_during_a_replay_loses_and_repeats_nothing(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replayer, "ROWS_LIMIT", 20)
    webhook = await story.subscribe(receiver.url, active=False)
    running = await daemons.start()
    await miss(story, 600)
    await story.change(webhook.id, active=True)
    started = await desk.start(webhook.id)
    for arrived in (50, 200, 350):
        await receiver.wait_for(arrived)
        assert (await desk.get(started)).state == "RUNNING"
        await daemons.stop(running)
        running = await daemons.start()
    await story.ended(DELIVERED=600)
    assert (await desk.done(started)).made == 600
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 601), 1)


@pytest.mark.long
async def test_broken_connections_lose_and_repeat_nothing(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replayer, "ROWS_LIMIT", 20)
    webhook = await story.subscribe(receiver.url, active=False)
    await daemons.start()
    await miss(story, 400)
    await story.change(webhook.id, active=True)
    started = await desk.start(webhook.id)
    for arrived in (40, 120, 200):
        await receiver.wait_for(arrived)
        await story.terminate("upkeep")
    await story.ended(DELIVERED=400)
    assert (await desk.done(started)).made == 400
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 401), 1)


async def test_a_rate_is_kept(
    story: Story, daemons: Daemons, receiver: Receiver, desk: Desk
) -> None:
    webhook = await story.subscribe(receiver.url, active=False)
    await daemons.start()
    await miss(story, 60)
    await story.change(webhook.id, active=True)
    await desk.start(webhook.id, rate=40)
    await story.ended(DELIVERED=60)
    made = [
        row["created_at"].timestamp()
        for row in await story.connection.fetch(
            "SELECT dispatcher.id_time(delivery_id) AS created_at FROM dispatcher.attempts ORDER BY 1"
        )
    ]
    at_once = 40 / 4
    assert made[-1] - made[0] > (60 - 2 * at_once) / 40 - 0.1
    peak = max(sum(first <= moment < first + 0.5 for moment in made) for first in made)
    assert peak <= 40 * 0.5 + 2 * at_once + 5


async def test_cancelling_stops_a_replay(
    story: Story, daemons: Daemons, receiver: Receiver, desk: Desk
) -> None:
    webhook = await story.subscribe(receiver.url, active=False)
    await daemons.start()
    await miss(story, 300)
    await story.change(webhook.id, active=True)
    started = await desk.start(webhook.id, rate=50)
    await receiver.wait_for(20)
    cancelled = await desk.cancel(started)
    await until(lambda: len(receiver.requests) == cancelled.made, "what was made arrived")
    await asyncio.sleep(1.5)  # nothing more may arrive in this time
    assert len(receiver.requests) == cancelled.made < 300
    assert await desk.get(started) == cancelled


@pytest.mark.long
async def test_a_receiver_that_is_slow_is_not_flooded(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replayer, "ROWS_LIMIT", 10)
    monkeypatch.setattr(replayer, "PENDING_LIMIT", 30)
    webhook = await story.subscribe(receiver.url, active=False, max_in_flight=1)
    await daemons.start()
    await miss(story, 100)
    receiver.otherwise = Answer(delay=0.02)
    await story.change(webhook.id, active=True)
    started = await desk.start(webhook.id)
    peak = 0
    while (await desk.get(started)).state == "RUNNING":
        pending = await story.count("true")
        waiting = await story.connection.fetchval("SELECT count(*) FROM dispatcher.inbox")
        peak = max(peak, pending + waiting)
    assert 10 <= peak <= 30 + 20
    await story.ended(DELIVERED=100)


async def test_a_replay_keeps_the_events_that_it_still_needs(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replayer, "ROWS_LIMIT", 1)
    monkeypatch.setattr(replayer, "PENDING_LIMIT", 1)
    released = asyncio.Event()
    receiver.otherwise = Answer(after=released)
    webhook = await story.subscribe(receiver.url, active=False)
    await daemons.start()
    await miss(story, 10)
    last = await story.connection.fetchval("SELECT max(id) FROM dispatcher.events")
    await story.change(webhook.id, active=True)
    started = await desk.start(webhook.id)
    await receiver.wait_for(1)

    async def needed() -> bool:
        answer: bool = await story.connection.fetchval(
            "SELECT dispatcher.events_are_referenced($1)", last
        )
        return answer

    assert await needed()
    released.set()
    await desk.done(started)
    await story.ended(DELIVERED=10)
    assert not await needed()
