"""However an event gets into the table: once it is committed it arrives, and only then."""

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest

from tests.conftest import connected
from tests.end_to_end.stories import SharedStory, numbers
from tests.receivers import Receiver


@pytest.fixture(autouse=True)
async def _sending(shared_story: SharedStory, receiver: Receiver) -> None:
    await shared_story.subscribe(receiver.url)


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
async def test_a_row_inserted_by_psql_arrives(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    sql = """INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '{"n":1}')"""
    process = await asyncio.create_subprocess_exec("psql", "-X", "-q", "-c", sql, shared_story.dsn)
    assert await process.wait() == 0
    await receiver.wait_for(1)
    await shared_story.ended(DELIVERED=1)


async def test_rows_copied_arrive(shared_story: SharedStory, receiver: Receiver) -> None:
    rows = b"".join(b'user.created\t{"n":%d}\n' % n for n in range(100))

    async def source() -> AsyncIterator[bytes]:
        yield rows

    await shared_story.connection.copy_to_table(
        "events", schema_name="dispatcher", columns=["type", "data"], source=source()
    )
    await shared_story.ended(DELIVERED=100)
    assert set(numbers(receiver.requests)) == set(range(100))


async def test_events_inserted_row_by_row_arrive(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    await shared_story.connection.executemany(
        "INSERT INTO dispatcher.events (type, data) VALUES ('user.created', $1)",
        [(f'{{"n":{n}}}',) for n in range(100)],
    )
    await shared_story.ended(DELIVERED=100)
    assert set(numbers(receiver.requests)) == set(range(100))


async def test_emit_answers_with_the_id_that_arrives(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    name = await shared_story.connection.fetchval(
        "SELECT dispatcher.emit('user.created', '{}'::json)"
    )
    (request,) = await receiver.wait_for(1)
    assert request.headers["webhook-id"] == name


async def test_a_repeated_idempotency_key_arrives_once(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    emit = "SELECT dispatcher.emit('user.created', '{\"n\":1}'::json, idempotency_key => 'k')"
    names = {await shared_story.connection.fetchval(emit) for _ in range(3)}
    await shared_story.insert(first=2)
    await shared_story.ended(DELIVERED=2)
    assert len(names) == 1
    assert numbers(receiver.requests) == {1: 1, 2: 1}


async def test_the_producer_role_is_all_a_producer_needs(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    async with connected(shared_story.dsn) as producer:
        await producer.execute("SET ROLE dispatcher_producer")
        await producer.execute(
            """INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '{"n":1}')"""
        )
        await producer.fetchval("SELECT dispatcher.emit('user.created', '{\"n\":2}'::json)")
    await shared_story.ended(DELIVERED=2)
    assert set(numbers(receiver.requests)) == {1, 2}


@pytest.mark.long
async def test_10_000_rows_of_one_transaction_arrive_once_each(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    await shared_story.insert(10_000)
    await receiver.wait_for(10_000, within=60)
    await shared_story.ended(DELIVERED=10_000)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 10_001), 1)


async def test_rolled_back_events_are_never_sent(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    transaction = shared_story.connection.transaction()
    await transaction.start()
    await shared_story.insert(50)
    await transaction.rollback()
    await shared_story.insert(first=51)
    await shared_story.ended(DELIVERED=1)
    assert set(numbers(receiver.requests)) == {51}


async def test_nothing_is_sent_before_its_commit_and_a_late_commit_is_not_passed_over(
    shared_story: SharedStory, receiver: Receiver
) -> None:
    async with connected(shared_story.dsn) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            """INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '{"n":0}')"""
        )
        for n in range(1, 21):  # later ids, over two seconds, all delivered before
            await shared_story.insert(first=n)
            await receiver.wait_for(n)
            await asyncio.sleep(0.1)  # two seconds in all
        assert 0 not in numbers(receiver.requests)
        await transaction.commit()
    await receiver.wait_for(21)
    assert numbers(receiver.requests)[0] == 1


async def test_an_endpoint_gets_what_it_subscribed_to_and_nothing_else(
    shared_story: SharedStory, receiver: Receiver, another: Receiver
) -> None:
    await shared_story.subscribe(another.url + "exact", "role.created")
    await shared_story.subscribe(another.url + "prefix", "user.*")
    await shared_story.subscribe(another.url + "twice", "user.*", "*")
    for type_ in ("role.created", "user.created", "user.profile.changed", "users.created", "user"):
        await shared_story.insert(type_=type_)
    await shared_story.ended(DELIVERED=5 + 1 + 2 + 5)
    got = sorted((r.path, r.headers["X-Dispatcher-Event"]) for r in another.requests)
    assert [type_ for path, type_ in got if path == "/exact"] == ["role.created"]
    assert [type_ for path, type_ in got if path == "/prefix"] == [
        "user.created",
        "user.profile.changed",
    ]
    assert len([path for path, _ in got if path == "/twice"]) == 5
