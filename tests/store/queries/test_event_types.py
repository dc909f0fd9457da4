"""The catalogue's rows, and the events that wait for the schema check."""

import asyncio
import json
from typing import Any

import pytest

from dispatcher.store.queries.event_types import EventTypes
from dispatcher.store.queries.unvalidated_events import UnvalidatedEvents, Waiting
from dispatcher.store.session import Session
from dispatcher.store.statements import statement
from tests.conftest import Connection, connected
from tests.store import rows

ALL = range(64)
SCHEMA = '{"type" : "object"}'


@pytest.fixture
def event_types(session: Session) -> EventTypes:
    return EventTypes(session)


@pytest.fixture
def unvalidated(session: Session) -> UnvalidatedEvents:
    return UnvalidatedEvents(session)


async def enforced(
    connection: Connection,
    name: str = "a.b",
    schema: str = SCHEMA,
    environment: str = "env_default",
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce) VALUES ($1, $2, $3, true)",
        environment,
        name,
        schema,
    )


async def unvalidated_ids(connection: Connection) -> list[int]:
    records = await connection.fetch("SELECT id FROM dispatcher.unvalidated_events ORDER BY id")
    return [row["id"] for row in records]


async def quarantined(connection: Connection) -> list[rows.Row]:
    return await connection.fetch("SELECT * FROM dispatcher.quarantine ORDER BY id")


# ── the catalogue ────────────────────────────────────────────────────────────────────────────────


async def put(event_types: EventTypes, name: str = "a.b", **changes: Any) -> dict[str, Any]:
    columns = {"description": "d", "example": "[1.10]", "schema": SCHEMA, "enforce": True}
    return dict(await event_types.put("env_default", name, **{**columns, **changes}))


async def test_a_type_keeps_its_exact_text_and_is_replaced_as_a_whole(
    event_types: EventTypes,
) -> None:
    made = await put(event_types)
    assert made.items() >= {
        "environment_id": "env_default",
        "name": "a.b",
        "description": "d",
        "example": "[1.10]",
        "schema": SCHEMA,
        "enforce": True,
    }.items()  # fmt: skip
    assert made["created_at"] == made["updated_at"]
    again = await put(event_types, description="", example=None, schema=None, enforce=False)
    assert (again["description"], again["example"], again["schema"]) == ("", None, None)
    assert again["created_at"] == made["created_at"]
    assert again["updated_at"] > made["updated_at"]
    assert await event_types.get("env_default", "a.b") == again


async def test_types_are_listed_by_name_in_their_environment(
    event_types: EventTypes, connection: Connection
) -> None:
    await rows.environment(connection, "env_x")
    await enforced(connection, "x.y", environment="env_x")
    for name in ("b", "a.b", "B", "a_b"):
        await put(event_types, name)
    listed = await event_types.list("env_default", "", 10)
    assert [row["name"] for row in listed] == ["B", "a.b", "a_b", "b"]
    page = await event_types.list("env_default", "B", 2)
    assert [row["name"] for row in page] == ["a.b", "a_b"]
    assert set(await event_types.named("env_default", ["b", "a.b", "x.y"])) == {"a.b", "b"}
    assert await event_types.count("env_default") == 4
    assert await event_types.get("env_default", "x.y") is None


async def test_a_type_is_deleted_once_and_in_its_environment(
    event_types: EventTypes, connection: Connection
) -> None:
    await rows.environment(connection, "env_x")
    await put(event_types)
    assert not await event_types.delete("env_x", "a.b")
    assert await event_types.delete("env_default", "a.b")
    assert not await event_types.delete("env_default", "a.b")


async def test_changes_of_a_catalogue_run_one_after_the_other(
    connection: Connection, session: Session
) -> None:
    first = connection.transaction()
    await first.start()
    await connection.execute(statement("event_types/lock").replace("$1", "'env_default'"))
    async with session.transaction() as second:
        assert not await EventTypes(second).lock("env_x")
        waiting = asyncio.create_task(EventTypes(second).lock("env_default"))
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()
        await first.rollback()
        assert await waiting


async def test_changing_a_catalogue_does_not_block_other_changes_of_the_environment(
    session: Session, connection: Connection
) -> None:
    async with session.transaction() as opened:
        await EventTypes(opened).lock("env_default")
        await connection.execute("SET lock_timeout = '1s'")
        await rows.endpoint(connection, "*")
        await rows.event(connection)


# ── what is emitted ──────────────────────────────────────────────────────────────────────────────


async def test_only_events_of_enforced_types_wait_for_the_schema_check(
    connection: Connection, unvalidated: UnvalidatedEvents
) -> None:
    await rows.environment(connection, "env_x")
    await enforced(connection, "a.b")
    await enforced(connection, "c.d", environment="env_x")
    plain = [
        await rows.event(connection, "a.c"),
        await rows.event(connection, "a.b", environment="env_x"),
        await rows.event(connection, "c.d"),
    ]
    held = await rows.event(connection, "a.b")
    assert await rows.inbox(connection) == plain
    assert await unvalidated.waiting(10, ALL) == [Waiting(held, "env_default", "a.b", SCHEMA)]


async def test_one_statement_may_emit_events_with_and_without_a_schema(
    connection: Connection,
) -> None:
    await enforced(connection, "a.b")
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) SELECT unnest(ARRAY['a.b', 'a.c', 'a.b']), '{}'"
    )
    assert len(await rows.inbox(connection)) == 1
    assert len(await unvalidated_ids(connection)) == 2


async def test_operational_events_skip_the_schema_check(connection: Connection) -> None:
    await enforced(connection, "endpoint.disabled")
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data, source) VALUES ('endpoint.disabled', '{}', 'dispatcher')"
    )
    assert len(await rows.inbox(connection)) == 1


async def test_events_that_wait_for_the_schema_check_are_not_dropped(
    connection: Connection,
) -> None:
    await enforced(connection)
    held = await rows.event(connection, "a.b")
    for bound, needed in ((held, False), (held + 1, True)):
        assert (
            await connection.fetchval("SELECT dispatcher.events_are_referenced($1)", bound)
            is needed
        )


# ── what waits ───────────────────────────────────────────────────────────────────────────────────


async def test_daemons_share_unvalidated_events_like_shards(
    connection: Connection, unvalidated: UnvalidatedEvents
) -> None:
    await enforced(connection)
    held = [await rows.event(connection, "a.b") for _ in range(10)]
    ours = {event % 64 for event in held[:4]}
    our_events = await unvalidated.waiting(100, ours)
    assert [entry.id for entry in our_events] == [event for event in held if event % 64 in ours]
    rest = await unvalidated.waiting(100, set(ALL) - ours)
    assert sorted([entry.id for entry in (*our_events, *rest)]) == held
    assert await unvalidated.waiting(100, []) == []
    assert [entry.id for entry in await unvalidated.waiting(3, ALL)] == held[:3]


async def test_a_waiting_event_passes_once_its_schema_is_no_longer_enforced(
    connection: Connection, unvalidated: UnvalidatedEvents
) -> None:
    await enforced(connection, "a.b")
    await enforced(connection, "c.d")
    for type_ in ("a.b", "c.d"):
        await rows.event(connection, type_)
    await connection.execute("UPDATE dispatcher.event_types SET enforce = false WHERE name = 'a.b'")
    await connection.execute("DELETE FROM dispatcher.event_types WHERE name = 'c.d'")
    assert [event.schema for event in await unvalidated.waiting(10, ALL)] == [None, None]


async def test_data_is_read_up_to_a_size_and_for_at_least_one_event(
    connection: Connection, unvalidated: UnvalidatedEvents
) -> None:
    texts = ['{"n": 1.10}', json.dumps("x" * 100), json.dumps("é" * 5_000)]
    ids = [await rows.event(connection, "a.b", data) for data in texts]
    gone = 5
    assert await unvalidated.with_data([*ids, gone], 10**6) == dict(zip(ids, texts, strict=True))
    assert await unvalidated.with_data(ids, 200) == {
        ids[0]: texts[0],
        ids[1]: texts[1],
        ids[2]: None,
    }
    assert await unvalidated.with_data(ids[2:], 200) == {ids[2]: texts[2]}


async def test_valid_events_move_to_the_inbox_and_others_to_quarantine(
    connection: Connection, unvalidated: UnvalidatedEvents
) -> None:
    await enforced(connection)
    good, bad, later = [await rows.event(connection, "a.b") for _ in range(3)]
    assert await unvalidated.move([good], [(bad, "schema", "data.a: why")]) == [(bad, "schema")]
    assert await rows.inbox(connection) == [good]
    assert await unvalidated_ids(connection) == [later]
    [row] = await quarantined(connection)
    assert row["quarantined_at"] is not None
    assert dict(row).items() >= {
        "id": bad,
        "event_id": bad,
        "environment_id": "env_default",
        "type": "a.b",
        "endpoint_id": None,
        "delivery_id": None,
        "attempt": 0,
        "reason": "schema",
        "detail": "data.a: why",
    }.items()  # fmt: skip


async def test_an_event_is_moved_only_once(
    connection: Connection, unvalidated: UnvalidatedEvents
) -> None:
    await enforced(connection)
    good, bad = [await rows.event(connection, "a.b") for _ in range(2)]
    await unvalidated.move([good], [(bad, "schema", "")])
    await connection.execute("DELETE FROM dispatcher.inbox")
    assert await unvalidated.move([bad], [(good, "schema", "")]) == []
    assert await rows.inbox(connection) == []
    assert [row["id"] for row in await quarantined(connection)] == [bad]


async def test_events_that_another_daemon_moves_are_skipped(
    connection: Connection, unvalidated: UnvalidatedEvents
) -> None:
    await enforced(connection)
    theirs, ours = [await rows.event(connection, "a.b") for _ in range(2)]
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "SELECT 1 FROM dispatcher.unvalidated_events WHERE id = $1 FOR UPDATE", theirs
    )
    await unvalidated.move([theirs, ours], [])
    await transaction.rollback()
    assert await rows.inbox(connection) == [ours]
    assert await unvalidated_ids(connection) == [theirs]


async def test_only_valid_events_wake_the_fan_out(
    connection: Connection, unvalidated: UnvalidatedEvents, dsn: str
) -> None:
    await enforced(connection)
    good, bad = [await rows.event(connection, "a.b") for _ in range(2)]
    await connection.execute(
        "SELECT setval('dispatcher.listen_until', dispatcher.now_ms() + 10000)"
    )
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with connected(dsn) as listener:
        await listener.add_listener("dispatcher", lambda *_: heard.put_nowait("woken"))
        await unvalidated.move([], [(bad, "schema", "")])
        await listener.execute("SELECT 1")
        assert heard.empty()
        await unvalidated.move([good], [])
        async with asyncio.timeout(30):
            await heard.get()


async def test_a_long_backlog_is_read_and_moved_by_index(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.unvalidated_events SELECT n, 'env_default', 'a.b' FROM generate_series(1, 50000) AS n"
    )
    for name, values in (
        ("waiting", f"100, '{{{','.join(map(str, ALL))}}}', 0, '{{}}'"),
        ("move", "'{1,2}', '{3}', '{schema}', '{why}'"),
    ):
        await connection.execute(f"PREPARE {name} AS {statement(f'unvalidated_events/{name}')}")
        plan = await connection.fetch(f"EXPLAIN EXECUTE {name}({values})")
        lines = "\n".join(row[0] for row in plan)
        assert "unvalidated_events_pkey" in lines
        assert "Seq Scan on unvalidated_events" not in lines
