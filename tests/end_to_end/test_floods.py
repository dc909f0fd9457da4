"""A flood of one environment's events, and events for very many endpoints."""

import asyncio

import pytest

from dispatcher.core.heartbeats import VALID_SECONDS
from dispatcher.engine.fanout import fanout
from tests.conftest import connected
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import HANG, Receiver
from tests.waiting import until

pytestmark = pytest.mark.long

FLOOD = 30_000
EMIT = "INSERT INTO dispatcher.events (type, data, environment_id) VALUES ('a', $1, 'env_other')"


@pytest.mark.parametrize("ordered", [False, True])
async def test_others_do_not_wait_for_all_of_a_flood(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver, ordered: bool
) -> None:
    receiver.otherwise = HANG
    await story.subscribe(receiver.url)
    await story.connection.execute("INSERT INTO dispatcher.environments VALUES ('env_other', '')")
    other = await story.subscribe(another.url, "b")
    await story.change(other.id, environment_id="env_other", ordered=ordered)
    await story.connection.execute(
        "UPDATE dispatcher.subscriptions SET environment_id = 'env_other', pattern = 'a' WHERE pattern = 'b'"
    )
    await story.insert(FLOOD)
    for n in range(10):
        await story.connection.execute(EMIT, f'{{"n":{n}}}')
    await daemons.start()
    arrived = await another.wait_for(10)
    assert await story.connection.fetchval("SELECT count(*) FROM dispatcher.inbox") > 0
    if ordered:
        assert list(numbers(arrived)) == list(range(10))


async def test_events_with_very_many_endpoints_are_fanned_out_in_parts(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "DELIVERIES_LIMIT", 50)
    monkeypatch.setattr(fanout, "OVERSIZED_LIMIT", 20)
    for n in range(40):
        await story.subscribe(f"{receiver.url}{n}", "*")
    for n in range(30):
        await story.subscribe(f"{receiver.url}{n}", "user.*")
    await daemons.start()
    await story.insert(10, type_="role.created")  # 40 each: one a statement
    await story.insert(10, first=11)  # 70 each: in slices
    await story.insert(10, first=21, type_="role.created")
    await story.ended(DELIVERED=20 * 40 + 10 * 70)
    arrived = numbers(receiver.requests)
    assert arrived == {n: 70 if 10 < n <= 20 else 40 for n in range(1, 31)}


async def test_an_event_that_cannot_be_fanned_out_is_quarantined_and_others_are_delivered(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await _slow_down(story, "user.created")
    await daemons.start(database={"statement_timeout": "500ms"})
    await story.insert()
    await until(lambda: _aside(story, 1), "it is put aside")
    await story.insert(5, type_="role.created")
    await story.ended(DELIVERED=5)


async def test_while_heartbeats_have_no_answer_either_no_event_is_to_blame(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(database={"statement_timeout": "500ms"})
    async with connected(story.dsn) as locker, locker.transaction():
        await locker.execute("LOCK TABLE dispatcher.daemons IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(VALID_SECONDS)  # the last heartbeat is too old
        await _slow_down(story, "user.created")
        await story.insert(5)
        await asyncio.sleep(3.0)  # time for some timeouts
        await _slow_down(story, "nothing")
    await story.ended(DELIVERED=5)
    assert await _aside(story, 0)


async def test_after_timeouts_smaller_statements_follow_one_another_at_once(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    while daemon._engine.fanout._size.shrink():
        pass
    await story.insert(300)
    await receiver.wait_for(300)


KEPT = """
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
SELECT dispatcher.id_floor(now() - interval '10 minutes') + n * 6000000::bigint, n, 'env_default', 'a'
FROM generate_series(1, 300000) AS n
"""
LATE = """
INSERT INTO dispatcher.events (id, type, data)
SELECT dispatcher.id_floor(now() - make_interval(mins => $1::integer)) + 1, 'a', json_build_object('n', $1)
"""


async def test_while_an_old_snapshot_is_held_new_and_late_events_are_sent(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    """The rows that were taken since then cannot be removed: 300,000 of eight minutes."""
    await story.subscribe(receiver.url)
    async with connected(story.dsn) as old:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        await story.connection.execute(KEPT)
        await story.connection.execute("DELETE FROM dispatcher.inbox")
        for minutes in (3, 6, 11):
            await story.connection.execute(LATE, minutes)
        await story.insert(first=20)
        await daemons.start(database={"statement_timeout": "1s"})
        arrived = await receiver.wait_for(4, within=30)
    assert set(numbers(arrived)) == {3, 6, 11, 20}
    assert await _aside(story, 0)


PASSED = """
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
SELECT dispatcher.id_floor(now() - interval '10 minutes') + n * 16000000::bigint, n, 'env_other', 'a'
FROM generate_series(1, 150000) AS n
"""


@pytest.mark.parametrize("ordered", [False, True])
async def test_events_among_more_of_a_flood_than_a_statement_reads_are_all_sent(
    story: Story, daemons: Daemons, receiver: Receiver, ordered: bool
) -> None:
    webhook = await story.subscribe(receiver.url, "a")
    await story.change(webhook.id, ordered=ordered)
    await story.connection.execute("INSERT INTO dispatcher.environments VALUES ('env_other', '')")
    await story.connection.execute("SELECT setval('dispatcher.inbox_mark', 0)")
    await story.connection.execute(PASSED)
    for minutes in (9, 6, 3, 1):
        await story.connection.execute(LATE, minutes)
    await story.insert(first=20, type_="a")
    await daemons.start()
    arrived = await receiver.wait_for(5, within=60)
    assert await story.connection.fetchval("SELECT count(*) FROM dispatcher.inbox") > 0
    if ordered:
        assert list(numbers(arrived)) == [9, 6, 3, 1, 20]
    assert set(numbers(arrived)) == {9, 6, 3, 1, 20}


async def _slow_down(story: Story, type_: str) -> None:
    """Let finding the patterns of an event type take longer than a statement may."""
    await story.connection.execute(
        "CREATE OR REPLACE FUNCTION dispatcher.patterns_of(type text) RETURNS text[] LANGUAGE plpgsql AS $$"
        f" BEGIN IF type = '{type_}' THEN PERFORM pg_sleep(3); END IF; RETURN ARRAY[type, '*']; END $$"
    )


async def _aside(story: Story, count: int) -> bool:
    stored: int = await story.connection.fetchval("SELECT count(*) FROM dispatcher.quarantine")
    return stored == count
