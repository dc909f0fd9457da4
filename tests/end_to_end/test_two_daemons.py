"""Several daemons on one database share the work, and inherit it."""

import asyncio

import pytest

from dispatcher.daemon.daemon import Daemon
from dispatcher.engine.loading import parked_search
from dispatcher.engine.ownership import other_daemons
from dispatcher.store.queries import daemons as store
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.end_to_end.inside import a_share_each, in_memory, owned
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver
from tests.waiting import until

pytestmark = pytest.mark.long


@pytest.fixture
def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of a daemon that is silent is inherited after minutes. One that left is not silent."""
    monkeypatch.setattr(other_daemons, "LEASE_SECONDS", 600.0)


async def test_two_daemons_share_the_work_and_send_nothing_twice(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.01)
    receiver.answers = [500] * 20
    one, other = await _pair(daemons)
    for n in range(0, 1_000, 20):
        await story.insert(20, first=n)
    await story.ended(DELIVERED=1_000)
    arrived = numbers(receiver.requests)
    assert set(arrived) == set(range(1_000))
    assert arrived.total() == 1_000 + 20
    assert owned(one).isdisjoint(owned(other))


async def test_two_daemons_share_the_limit_of_an_endpoint(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    receiver.otherwise = Answer(200, delay=0.02)
    await story.subscribe(receiver.url, max_in_flight=8)
    await _pair(daemons)
    await story.insert(200)
    await story.ended(DELIVERED=200)
    assert receiver.peak <= 8


@pytest.mark.usefixtures("long_leases")
async def test_when_one_stops_the_other_takes_over_at_once_and_nothing_is_sent_twice(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.05)
    one, other = await _pair(daemons)
    await story.insert(600)
    await receiver.wait_for(100)
    await daemons.stop(one)
    await until(lambda: len(owned(other)) == 64, "the other owns all")
    await story.ended(DELIVERED=600)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 601), 1)


@pytest.mark.usefixtures("long_leases")
async def test_retries_of_a_stopped_daemon_are_made_by_the_other(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.answers = [500] * 100
    one, _ = await _pair(daemons, retry={"base": "1s", "factor": 1, "jitter": 0})
    await story.insert(100)
    await receiver.wait_for(100)
    await until(lambda: _all_failed(story), "all failed once")
    await daemons.stop(one)
    await receiver.wait_for(200)
    await story.ended(DELIVERED=100)
    # On a slow machine, one may be tried for a third time before another is tried at all.
    assert set(numbers(receiver.requests)) == set(range(1, 101))
    attempts = {
        (request.headers["X-Dispatcher-Delivery"], request.headers["X-Dispatcher-Attempt"])
        for request in receiver.requests
    }
    assert len(attempts) == len(receiver.requests) == 200


@pytest.mark.parametrize("is_pair", [True, False])
async def test_what_waits_at_a_draining_daemon_is_sent_by_another(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    another: Receiver,
    connection: Connection,
    is_pair: bool,
) -> None:
    """A slow receiver holds the drain up, and nothing but the shards of its own deliveries."""
    answers = asyncio.Event()
    another.otherwise = Answer(200, after=answers)
    await story.subscribe(another.url, "role.*")
    ordered = await story.subscribe(receiver.url, "user.*", ordered=True)
    if is_pair:
        one, other = await _pair(daemons, delivery={"timeout": "30s"})
    else:
        one = await daemons.start(delivery={"timeout": "30s"})
    slow = await _until_one_sends(story, one)
    busy = set(one._engine.buffer.count_by_shard())
    idle = owned(one) - busy
    await connection.execute(
        "UPDATE dispatcher.endpoints SET home_shard = $1 WHERE id = $2", min(idle), ordered.id
    )
    stopping = asyncio.create_task(daemons.stop(one))
    if not is_pair:
        await story.free_shards(len(idle))
        other = await daemons.start(delivery={"timeout": "30s"})
    await until(lambda: len(owned(other)) == 64 - len(busy), "the other owns all that is idle")
    await story.insert(20)
    await receiver.wait_for(20)
    assert not stopping.done()
    answers.set()
    await stopping
    await until(lambda: len(owned(other)) == 64, "the other owns all")
    await story.ended(DELIVERED=20 + slow)
    assert len(another.requests) == slow
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 21), 1)


async def test_a_retry_that_is_recorded_in_a_drain_is_made_by_another(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    answers = asyncio.Event()
    receiver.answers = [Answer(500, after=answers)] * 10
    await story.subscribe(receiver.url)
    one, _ = await _pair(daemons, delivery={"timeout": "30s"})
    await story.insert(10)
    await receiver.wait_for(10)
    stopping = asyncio.create_task(daemons.stop(one))
    await until(lambda: not owned(one), "it has given up its shards")
    assert not stopping.done()
    answers.set()
    await stopping
    await story.ended(DELIVERED=10)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 11), 2)


async def test_daemons_that_come_and_go_under_load_send_nothing_twice(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.01)
    running = [await daemons.start()]
    load = asyncio.create_task(_emit(story, 900))
    for _ in range(3):
        running.append(await daemons.start())
        await asyncio.sleep(0.2)  # both work for a while
        await daemons.stop(running.pop(0))
    await load
    await story.ended(DELIVERED=900)
    assert numbers(receiver.requests) == dict.fromkeys(range(900), 1)


async def test_an_ordered_endpoint_stays_in_order_when_its_daemon_changes(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, ordered=True)
    receiver.otherwise = Answer(200, delay=0.005)
    one, _ = await _pair(daemons)
    await story.insert(60)
    await receiver.wait_for(15)
    await daemons.stop(one)
    await story.ended(DELIVERED=60)
    assert receiver.peak == 1
    assert list(numbers(receiver.requests)) == list(range(1, 61))
    assert numbers(receiver.requests).total() == 60


async def test_an_ordered_delivery_reaches_the_daemon_of_its_shard_by_a_notification(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search for what other daemons have parked would come too late."""
    monkeypatch.setattr(parked_search, "RESCAN_SECONDS", 600.0)
    monkeypatch.setattr(parked_search, "RESCAN_SHARED_SECONDS", 600.0)
    for daemon in await _pair(daemons):  # one fans out, so that a delivery is in the other's shard
        await story.subscribe(receiver.url, ordered=True)
        await connection.execute(
            "UPDATE dispatcher.endpoints SET home_shard = $1 WHERE id ="
            " (SELECT id FROM dispatcher.endpoints ORDER BY version DESC LIMIT 1)",
            min(owned(daemon)),
        )
    for event in range(1, 6):
        await story.insert(1, first=event)
        await story.ended(DELIVERED=2 * event)


@pytest.mark.usefixtures("long_leases")
async def test_advisory_locks_of_others_delay_no_takeover(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    """A producer may hold every such lock it can think of, and wait for all the others."""
    await story.subscribe(receiver.url)
    dead = Session(story.dsn, "dead")
    joined = store.Daemons(dead)
    await joined.join(77)
    assert len(await joined.claim_shards(77, 64)) == 64
    (process,) = (await dead.fetch("SELECT pg_backend_pid()"))[0]
    async with connected(story.dsn) as squatter, connected(story.dsn) as waiting:
        for key in (process, 77, 1):
            await squatter.execute(f"SELECT pg_advisory_lock({key})")
            await squatter.execute(f"SELECT pg_advisory_lock(1684632432, {key})")
        queued = asyncio.create_task(waiting.execute("SELECT pg_advisory_lock(1684632432, 77)"))
        await dead.close()
        daemon = await daemons.start()
        await until(lambda: len(owned(daemon)) == 64, "it took over")
        await story.insert(10)
        await story.ended(DELIVERED=10)
        assert not queued.done()
        await squatter.execute("SELECT pg_advisory_unlock_all()")
        await queued


async def _pair(daemons: Daemons, **sections: dict[str, object]) -> tuple[Daemon, Daemon]:
    """Two daemons that own half of the shards each."""
    one, other = await daemons.start(**sections), await daemons.start(**sections)
    await a_share_each(one, other)
    return one, other


async def _until_one_sends(story: Story, daemon: Daemon) -> int:
    """Emit until an attempt of this daemon is in flight; return how many events that took."""
    for count in range(1, 41):
        await story.insert(type_="role.created")
        await story.fanned_out()
        if in_memory(daemon):
            return count
    raise AssertionError("another daemon fans all out")


async def _all_failed(story: Story) -> bool:
    return await story.count("attempt = 0") == 0


async def _emit(story: Story, count: int) -> None:
    for n in range(0, count, 10):
        await story.insert(10, first=n)
        await asyncio.sleep(0.01)  # the pace of a producer
