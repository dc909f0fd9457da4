"""Types with an enforced schema: what satisfies it arrives, what does not is set aside."""

import asyncio
import json
import time

import pytest

from dispatcher.schema_validation.worker import Sandbox
from tests.conftest import Connection
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Receiver
from tests.schema_validation.test_worker import ENDLESS
from tests.waiting import until

PROMPT = 8.0
"""Seconds, on any machine, to an event that is checked at once. Those unheard of are checked after 10."""
SMALL = {"type": "object", "properties": {"n": {"maximum": 1000}}, "required": ["n"]}


async def enforce(connection: Connection, name: str, schema: object = SMALL) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce)
           VALUES ('env_default', $1, $2, true)
           ON CONFLICT (environment_id, name) DO UPDATE SET schema = excluded.schema""",
        name,
        schema if isinstance(schema, str) else json.dumps(schema),
    )


async def emit(connection: Connection, type_: str, data: str) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) VALUES ($1, $2)", type_, data
    )


async def set_aside(connection: Connection) -> list[tuple[str, str, str]]:
    """`type reason detail` of what is in quarantine."""
    rows = await connection.fetch(
        "SELECT type, reason, detail FROM dispatcher.quarantine ORDER BY id"
    )
    return [(row["type"], row["reason"], row["detail"]) for row in rows]


async def all_set_aside(connection: Connection, count: int, *, within: float = 60.0) -> None:
    async def reached() -> bool:
        return len(await set_aside(connection)) >= count

    await until(reached, f"{count} events are in quarantine", within=within)


@pytest.fixture(autouse=True)
async def _sending(story: Story, daemons: Daemons, receiver: Receiver) -> None:
    await story.subscribe(receiver.url)
    await daemons.start()


async def test_a_valid_event_arrives_byte_for_byte_and_soon(
    story: Story, receiver: Receiver
) -> None:
    await enforce(story.connection, "a.b")
    took = []
    for n in range(1, 6):  # a busy machine is slow once, and not five times
        began = time.monotonic()
        await emit(story.connection, "a.b", '{"n" : 1.10}')
        *_, request = await receiver.wait_for(n)
        took.append(time.monotonic() - began)
        assert request.body.endswith(b'"data":{"n" : 1.10}}')
    assert min(took) < PROMPT
    await story.ended(DELIVERED=5)


async def test_an_event_that_violates_its_schema_is_quarantined_with_the_reason(
    story: Story, receiver: Receiver
) -> None:
    await enforce(story.connection, "a.b")
    await emit(story.connection, "a.b", '{"n":1001}')
    await emit(story.connection, "a.b", "{}")
    await emit(story.connection, "a.b", '{"n":1}')
    await receiver.wait_for(1)
    await all_set_aside(story.connection, 2)
    await story.ended(DELIVERED=1)
    assert await set_aside(story.connection) == [
        ("a.b", "schema", "data.n: the value is greater than the maximum of 1000"),
        ("a.b", "schema", 'data: "n" is a required property'),
    ]


@pytest.mark.parametrize(
    "data", ["1e400", r'["\ud800"]', r'{"\udead":1}', "[" * 1500 + "]" * 1500, "9" * 5000]
)
async def test_an_unreadable_event_is_quarantined_and_delays_no_other(
    story: Story, receiver: Receiver, data: str
) -> None:
    await enforce(story.connection, "a.b", True)
    await emit(story.connection, "a.b", data)
    await emit(story.connection, "a.b", '{"n":9007199254740993}')
    await receiver.wait_for(1)
    await story.ended(DELIVERED=1)
    [(_, reason, _)] = await set_aside(story.connection)
    assert reason == "unreadable"


@pytest.mark.long
async def test_an_unchecked_schema_quarantines_only_its_own_events(
    story: Story, receiver: Receiver
) -> None:
    await enforce(story.connection, "broken.type", {"type": "objekt"})
    await enforce(story.connection, "endless.type", ENDLESS)
    await enforce(story.connection, "a.b")
    for type_ in ("broken.type", *["endless.type"] * 20, "a.b"):
        await emit(story.connection, type_, '{"n":1}')
    await receiver.wait_for(1)
    reasons = [reason for _, reason, _ in await set_aside(story.connection)]
    assert reasons == ["schema_unusable", *["too_expensive"] * 20]


async def test_waiting_events_pass_once_their_type_is_no_longer_enforced(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await enforce(story.connection, "a.b", False)
    async with story.connection.transaction():
        await story.insert(3, type_="a.b")
        await story.connection.execute("UPDATE dispatcher.event_types SET enforce = false")
    await story.ended(DELIVERED=3)
    await story.connection.execute("DELETE FROM dispatcher.event_types")
    await story.insert(1, first=4, type_="a.b")
    await story.ended(DELIVERED=4)


async def test_a_new_schema_applies_to_later_events(story: Story, receiver: Receiver) -> None:
    await enforce(story.connection, "a.b")
    await story.insert(1, type_="a.b")
    await receiver.wait_for(1)
    await enforce(story.connection, "a.b", {"type": "array"})
    await story.insert(1, first=2, type_="a.b")
    await all_set_aside(story.connection, 1)
    await story.ended(DELIVERED=1)


@pytest.mark.long
async def test_a_flood_of_enforced_events_holds_up_no_other(
    story: Story, receiver: Receiver, another: Receiver
) -> None:
    await story.subscribe(another.url, "plain.type")
    await enforce(story.connection, "a.b", {"properties": {"n": {"maximum": 0}}})
    await story.insert(4_000, type_="a.b")
    for n in range(1, 21):
        await story.insert(1, first=n, type_="plain.type")
        await another.wait_for(n)
    assert await story.connection.fetchval(
        "SELECT EXISTS (SELECT FROM dispatcher.unvalidated_events)"
    )
    await all_set_aside(story.connection, 4_000, within=100)  # the checks yield to all else
    assert len(receiver.requests) == 20


@pytest.mark.long
async def test_two_daemons_examine_each_event_once(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await enforce(story.connection, "a.b")
    await daemons.start()
    await story.insert(2_000, type_="a.b")
    await story.ended(DELIVERED=1000)
    await all_set_aside(story.connection, 1000)
    assert numbers(receiver.requests) == dict.fromkeys(range(1, 1001), 1)
    assert not await story.connection.fetchval(
        "SELECT EXISTS (SELECT FROM dispatcher.unvalidated_events)"
    )


async def test_the_next_daemon_checks_events_left_by_a_stopped_one(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await enforce(story.connection, "a.b")
    for daemon in list(daemons._running):
        await daemons.stop(daemon)
    await story.insert(3, type_="a.b")
    await daemons.start()
    await story.ended(DELIVERED=3)


async def test_events_wait_while_the_schema_check_is_unavailable(
    story: Story, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.engine.fanout.schema_check.UNAVAILABLE_SECONDS", 0.1)
    await enforce(story.connection, "a.b")
    with monkeypatch.context() as broken:
        broken.setattr("sys.executable", "/nonexistent/python")
        await story.insert(2, type_="a.b")
        await story.insert(1, first=3)
        await story.ended(DELIVERED=1)
        await asyncio.sleep(0.3)  # time for some attempts
        assert await set_aside(story.connection) == []
    await story.ended(DELIVERED=3)


async def test_a_connection_lost_in_the_middle_loses_no_event(
    story: Story, receiver: Receiver
) -> None:
    await enforce(story.connection, "a.b")
    await story.insert(1_000, type_="a.b")
    for _ in range(5):
        await story.terminate("schema_check")
        await asyncio.sleep(0.05)  # another moment of the work each time
    await story.ended(DELIVERED=1_000)
    assert set(numbers(receiver.requests)) == set(range(1, 1001))


async def test_a_stopped_daemon_leaves_no_process_behind(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await enforce(story.connection, "a.b")
    await story.insert(1, type_="a.b")
    await receiver.wait_for(1)
    [daemon] = daemons._running
    sandbox: Sandbox = daemon._engine.schema_check._sandbox
    process = sandbox._process
    assert process is not None
    await daemons.stop(daemon)
    assert process.returncode is not None
