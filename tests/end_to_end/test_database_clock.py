"""The database's clock is set, by an hour and while daemons send: libfaketime stands before it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.encryption.cipher import Cipher
from dispatcher.engine.fanout import inbox_mark, inbox_sweep
from dispatcher.store.migration.migrate import migrate
from dispatcher.store.queries import daemons as store
from dispatcher.store.session import Session
from tests.conftest import connected
from tests.end_to_end.inside import a_share_each, owned
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver
from tests.stepped_clock import LIBRARIES, SteppedClock, stepped_clock
from tests.store import rows
from tests.waiting import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed"),
]

HOUR = 3_600
RETRY = {"retry": {"base": "2s", "factor": 1, "jitter": 0, "retries": 5}}


@pytest.fixture
def clock(directory: Path) -> Iterator[SteppedClock]:
    """Of servers started from here on; this process, and the daemons in it, have the machine's."""
    with stepped_clock(directory) as clock:
        yield clock


@pytest.fixture
async def story(
    clock: SteppedClock, directory: Path, binaries: Path | None, cipher: Cipher
) -> AsyncIterator[Story]:
    """On a server whose clock can be set."""
    settings = {"fsync": "off", "full_page_writes": "off"}
    with EmbeddedPostgres(directory / "server", binaries=binaries, settings=settings) as server:
        async with connected(server.dsn) as connection:
            await migrate(connection)
            yield Story(server.dsn, connection, cipher)


@pytest.fixture
def cutoff() -> float:
    """Seconds, on any machine, in which what is due in two is sent."""
    return 20.0


async def offset(story: Story) -> float:
    now: float = await story.connection.fetchval(
        "SELECT extract(epoch FROM clock_timestamp())::float8"
    )
    return now - time.time()


async def test_retries_come_in_time_after_the_clock_was_set_back(
    story: Story, clock: SteppedClock, daemons: Daemons, receiver: Receiver, cutoff: float
) -> None:
    """Those in memory, those of an endpoint with a rate, of an ordered one, and of one at rest."""
    await story.subscribe(receiver.url)
    await story.subscribe(receiver.url, rate_limit=1)
    await story.subscribe(receiver.url, ordered=True)
    receiver.answers = [Answer(503, headers={"Retry-After": "2"}), 500, 500]
    daemon = await daemons.start(**RETRY)
    await story.insert()
    await receiver.wait_for(3)
    await until(lambda: _tried(story, 3), "all are recorded")
    clock.set(-HOUR)
    assert await offset(story) == pytest.approx(-HOUR, abs=60)
    await receiver.wait_for(6, within=cutoff)
    await story.ended(DELIVERED=3)
    assert numbers(receiver.requests) == {1: 6}
    assert daemons.alive(daemon)
    await story.insert(first=2)
    await receiver.wait_for(9, within=cutoff)


async def test_retries_that_are_only_in_the_table_are_made_in_time(
    story: Story, clock: SteppedClock, daemons: Daemons, receiver: Receiver, cutoff: float
) -> None:
    """Also what was parked, being due, before the clock was set back."""
    endpoint = (await story.subscribe(receiver.url)).id
    daemon = await daemons.start(**RETRY)
    await until(lambda: len(owned(daemon)) == 64, "it owns all")
    for n, parked in enumerate((False, True)):
        await rows.delivery(story.connection, endpoint, due_in=4, shard=n, parked=parked)
    await rows.delivery(story.connection, endpoint, due_in=-1, shard=3, parked=True)
    clock.set(-HOUR)
    await receiver.wait_for(3, within=cutoff)
    await story.ended(DELIVERED=3)


async def test_a_clock_set_back_while_no_daemon_ran_is_noticed_at_the_start(
    story: Story, clock: SteppedClock, daemons: Daemons, receiver: Receiver, cutoff: float
) -> None:
    endpoint = (await story.subscribe(receiver.url)).id
    dead = Session(story.dsn, "dead")
    await store.Daemons(dead).join(77)
    await store.Daemons(dead).claim_shards(77, 64)
    await dead.close()
    await rows.delivery(story.connection, endpoint, due_in=5)
    clock.set(-HOUR)
    await daemons.start(**RETRY)
    await receiver.wait_for(1, within=cutoff)
    await story.ended(DELIVERED=1)


async def test_a_clock_set_back_after_an_orderly_stop_is_noticed_at_the_start(
    story: Story, clock: SteppedClock, daemons: Daemons, receiver: Receiver, cutoff: float
) -> None:
    endpoint = (await story.subscribe(receiver.url)).id
    await daemons.stop(await daemons.start(**RETRY))
    await rows.delivery(story.connection, endpoint, attempt=1, due_in=5)
    clock.set(-HOUR)
    await daemons.start(**RETRY)
    await receiver.wait_for(1, within=cutoff)
    await story.ended(DELIVERED=1)


async def test_events_after_the_clock_was_set_back_do_not_wait_until_the_mark_is_read_again(
    story: Story,
    clock: SteppedClock,
    daemons: Daemons,
    receiver: Receiver,
    cutoff: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox_mark, "MARK_READ_EVERY_SECONDS", HOUR)
    monkeypatch.setattr(inbox_sweep, "ROUND_EVERY_SECONDS", HOUR)
    await story.subscribe(receiver.url)
    daemon = await daemons.start(**RETRY)
    await story.insert(1)
    await story.ended(DELIVERED=1)
    clock.set(-HOUR)
    await until(lambda: daemon._engine.clock.now() < time.time() - HOUR / 2, "a step")
    await story.insert(1, first=1)
    await receiver.wait_for(2, within=cutoff)
    await story.ended(DELIVERED=2)


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
async def test_a_clock_step_makes_no_daemon_count_as_dead(
    story: Story, clock: SteppedClock, daemons: Daemons, receiver: Receiver, seconds: int
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.02)
    pair = [await daemons.start(**RETRY), await daemons.start(**RETRY)]
    await a_share_each(*pair)
    epochs = await story.connection.fetch("SELECT epoch FROM dispatcher.shards ORDER BY shard")
    for n in range(40):
        if n == 10:
            clock.set(seconds)
        await story.insert(10, first=10 * n)
        await asyncio.sleep(0.05)  # the pace of a producer, before and after the step
    await story.ended(DELIVERED=400)
    assert numbers(receiver.requests) == dict.fromkeys(range(400), 1)
    assert epochs == await story.connection.fetch(
        "SELECT epoch FROM dispatcher.shards ORDER BY shard"
    )


async def _tried(story: Story, count: int) -> bool:
    return await story.count("attempt = 1") == count
