"""People change what a fan-out has made, before its deliveries are in the daemon's memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest

from dispatcher.core import ids
from dispatcher.daemon.daemon import Daemon
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.delivery_actions import DeliveryActions
from dispatcher.services.pauses import Pauses
from dispatcher.services.propagation import wait_until_acknowledged, wait_until_applied
from dispatcher.store.pool import Pool
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.inbox import FannedOut
from dispatcher.store.session import Session
from tests.end_to_end.inside import has_read_ahead, in_memory
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Receiver
from tests.waiting import until

ENVIRONMENT = "env_default"


class HeldFanout:
    """The fan-out of a daemon, which waits with each answer that has deliveries for `released`."""

    def __init__(self, daemon: Daemon) -> None:
        self._asked = asyncio.Event()
        self.answered = asyncio.Event()
        self.released = asyncio.Event()
        inbox = daemon._engine.fanout._inbox
        for name in ("fan_out", "fan_out_plain"):
            setattr(inbox, name, self._held(getattr(inbox, name)))

    @classmethod
    async def of(cls, daemon: Daemon) -> "HeldFanout":
        """Return it once no statement from before is under way, and no first read finds its rows."""
        await until(lambda: has_read_ahead(daemon), "the shards are read")
        held = cls(daemon)
        daemon._engine.inbox_wake.set()
        await held._asked.wait()
        return held

    def _held(
        self, fan_out: Callable[..., Awaitable[FannedOut]]
    ) -> Callable[..., Awaitable[FannedOut]]:
        async def held(**batch: object) -> FannedOut:
            self._asked.set()
            answer = await fan_out(**batch)
            if answer.made:
                self.answered.set()
                await self.released.wait()
            return answer

        return held


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    session = Session(dsn, "people")
    yield Pool([session])
    await session.close()


async def applied(pool: Pool) -> None:
    """Returns once every daemon acts on all endpoints as they are in the table now."""
    version = (await Endpoints(pool).changed_since(0)).version
    assert await wait_until_applied(pool, version, 8.0)


async def change(pool: Pool, method: str, name: str) -> None:
    async with pool.transaction() as session:
        actions = DeliveryActions(session, Actor("test"))
        number: int = await getattr(actions, method)(ENVIRONMENT, name)
    assert await wait_until_acknowledged(pool, number, 8.0)


async def made(story: Story) -> str:
    """Return the only pending delivery."""
    number: int = await story.connection.fetchval("SELECT id FROM dispatcher.deliveries")
    return ids.delivery_name(number)


@pytest.mark.long
async def test_a_delivery_cancelled_before_it_is_in_memory_is_never_sent(
    story: Story, daemons: Daemons, receiver: Receiver, pool: Pool
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    fanout = await HeldFanout.of(daemon)
    await story.insert()
    await fanout.answered.wait()
    await change(pool, "cancel", await made(story))
    fanout.released.set()
    await story.insert(first=2)
    await story.ended(CANCELLED=1, DELIVERED=1)
    assert numbers(receiver.requests) == {2: 1}
    await until(lambda: in_memory(daemon) == 0, "none is in memory")


async def test_a_delivery_retried_before_it_is_in_memory_is_sent_once(
    story: Story, daemons: Daemons, receiver: Receiver, pool: Pool
) -> None:
    await story.subscribe(receiver.url)
    fanout = await HeldFanout.of(await daemons.start())
    await story.insert()
    await fanout.answered.wait()
    await change(pool, "retry", await made(story))
    fanout.released.set()
    await story.insert(first=2)
    await story.ended(DELIVERED=2)
    assert numbers(receiver.requests) == {1: 1, 2: 1}


async def test_a_delivery_sent_again_is_not_left_to_the_search_for_overdue_rows_by_an_old_notice(
    story: Story, daemons: Daemons, receiver: Receiver, pool: Pool
) -> None:
    """The notice was about the delivery as it was before: the row is read again, and decides."""
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    daemon._engine.loader._overdue._newest_at = float("inf")  # no such search in this story
    await story.insert()
    await story.ended(DELIVERED=1)
    (attempt,) = await story.attempts()
    fanout = await HeldFanout.of(daemon)
    await change(pool, "retry", ids.delivery_name(attempt["delivery_id"]))
    await fanout.answered.wait()
    daemon._engine.buffer._reads.mark_stale(attempt["delivery_id"])
    fanout.released.set()
    await receiver.wait_for(2)
    await story.ended(DELIVERED=1)


async def _delete(story: Story, pool: Pool, endpoint_id: UUID) -> None:
    await story.delete(endpoint_id)


async def _disable(story: Story, pool: Pool, endpoint_id: UUID) -> None:
    await story.change(endpoint_id, active=False)


async def _pause(story: Story, pool: Pool, endpoint_id: UUID) -> None:
    async with pool.transaction() as session:
        await Pauses(session, Actor("test")).pause(ENVIRONMENT)


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("change_endpoint", [_delete, _disable, _pause])
async def test_nothing_is_sent_to_an_endpoint_that_was_stopped_before_its_delivery_is_in_memory(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    pool: Pool,
    change_endpoint: Callable[[Story, Pool, UUID], Awaitable[None]],
    is_known: bool,
) -> None:
    webhook = await story.subscribe(receiver.url)
    daemon = await daemons.start()
    if is_known:
        await story.insert(first=2)
        await story.ended(DELIVERED=1)
    fanout = await HeldFanout.of(daemon)
    await story.insert()
    await fanout.answered.wait()
    await change_endpoint(story, pool, webhook.id)
    await applied(pool)
    fanout.released.set()
    await until(lambda: _is_held(story), "the delivery is parked, or cancelled")
    assert numbers(receiver.requests) == ({2: 1} if is_known else {})


async def _is_held(story: Story) -> bool:
    return not await story.count("NOT parked")
