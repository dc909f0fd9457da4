"""Events put aside: listed with why, released to the inbox, or forgotten."""

import asyncio

import pytest

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.history import History
from dispatcher.services.quarantine import Quarantine
from dispatcher.store.pool import Pool
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

OURS = "env_default"


async def put_aside(connection: Connection, detail: str = "too much") -> None:
    """All that is in the inbox."""
    await connection.execute(
        """WITH gone AS (DELETE FROM dispatcher.inbox RETURNING *)
           INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt,
                                              after_endpoint, reason, detail)
           SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint,
                  'fan_out_failed', $1 FROM gone""",
        detail,
    )


async def audited(connection: Connection) -> list[tuple[str, str]]:
    entries = await connection.fetch("SELECT action, subject FROM dispatcher.audit ORDER BY id")
    return [(row["action"], row["subject"]) for row in entries]


async def test_quarantined_events_are_listed_newest_first_with_the_reason(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    events = [await rows.event(connection) for _ in range(5)]
    await put_aside(connection)
    quarantine = Quarantine(pool, actor)
    first = await quarantine.list(OURS, limit=2)
    second = await quarantine.list(OURS, before=first.next, limit=3)
    items = [*first.items, *second.items]
    assert [item.event_id for item in items] == [ids.event_name(id_) for id_ in reversed(events)]
    assert second.next is None
    item = items[0]
    assert (item.id, item.type, item.environment_id) == (f"q_{events[4]}", "user.created", OURS)
    assert (item.reason, item.detail) == ("fan_out_failed", "too much")
    assert (item.webhook_id, item.delivery_id) == (None, None)
    assert await quarantine.get(OURS, item.id) == item


async def test_a_released_row_returns_to_the_inbox_unchanged(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    endpoint = await rows.endpoint(connection)
    event = await rows.event(connection)
    number = await rows.directed(connection, event, endpoint, delivery_id=9, attempt=3)
    inbox = "SELECT tableoid::regclass::text, * FROM dispatcher.inbox ORDER BY id"
    before = await connection.fetch(inbox)
    await put_aside(connection)
    directed = await Quarantine(pool, actor).get(OURS, f"q_{number}")
    assert (directed.webhook_id, directed.delivery_id) == (endpoint, "dlv_9")
    for item in (await Quarantine(pool, actor).list(OURS)).items:
        async with pool.transaction() as session:
            await Quarantine(session, actor).release(OURS, item.id)
    assert await connection.fetch(inbox) == before
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.quarantine") == 0
    assert await audited(connection) == [
        ("quarantine.release", f"q_{number}"),
        ("quarantine.release", f"q_{event}"),
    ]


async def test_a_released_event_skips_the_schema_check(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    event = await rows.event(connection)
    await put_aside(connection)
    await connection.execute(
        """INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce)
           VALUES ('env_default', 'user.created', 'false', true)"""
    )
    async with pool.transaction() as session:
        await Quarantine(session, actor).release(OURS, f"q_{event}")
    assert await rows.inbox(connection) == [event]
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.unvalidated_events") == 0


async def test_a_release_notifies_listening_daemons(
    connection: Connection, pool: Pool, actor: Actor, dsn: str
) -> None:
    event = await rows.event(connection)
    await put_aside(connection)
    listener = Session(dsn, "listener")
    heard = asyncio.Event()
    await listener.listen("dispatcher", heard.set)
    await Inbox(listener).announce_listening(10_000)
    async with pool.transaction() as session:
        await Quarantine(session, actor).release(OURS, f"q_{event}")
    async with asyncio.timeout(30):
        await heard.wait()
    await listener.close()


async def test_discarding_removes_the_row_and_keeps_the_event(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    event = await rows.event(connection)
    await put_aside(connection)
    async with pool.transaction() as session:
        await Quarantine(session, actor).discard(OURS, f"q_{event}")
    with pytest.raises(NotFoundError):
        await Quarantine(pool, actor).get(OURS, f"q_{event}")
    assert await rows.inbox(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.events") == 1
    assert await audited(connection) == [("quarantine.discard", f"q_{event}")]


async def test_discarding_a_delivery_ends_it(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=1)
    async with pool.session("") as session:
        await Deliveries(session).quarantine(one, "the database refuses it")
    async with pool.transaction() as session:
        await Quarantine(session, actor).discard(OURS, f"q_{one.id}")
    ended = await History(pool).delivery(OURS, ids.delivery_name(one.id))
    assert (ended.status, ended.attempts) == ("CANCELLED", 2)
    assert ended.error == "discarded from quarantine"


async def test_a_delivery_to_a_deleted_webhook_is_not_released(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    endpoint = await rows.endpoint(connection)
    one = await rows.delivery(connection, endpoint, attempt=1)
    async with pool.session("") as session:
        await Deliveries(session).quarantine(one, "the database refuses it")
    await connection.execute("UPDATE dispatcher.endpoints SET deleted_at = now(), active = false")
    with pytest.raises(ConflictError, match=r"The webhook was deleted\. Discard the entry\."):
        async with pool.transaction() as session:
            await Quarantine(session, actor).release(OURS, f"q_{one.id}")
    assert await rows.inbox(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.quarantine") == 1
    assert await audited(connection) == []


async def test_a_missing_or_foreign_row_is_unknown_and_unchanged(
    connection: Connection, pool: Pool, actor: Actor
) -> None:
    await rows.environment(connection, "env_other")
    event = await rows.event(connection, environment="env_other")
    await put_aside(connection)
    quarantine = Quarantine(pool, actor)
    assert (await quarantine.list(OURS)).items == ()
    for name in (f"q_{event}", "q_1", "q_", f"evt_{event}", "q_01", "q_99999999999999999999"):
        for ask in (quarantine.get, quarantine.release, quarantine.discard):
            with pytest.raises(NotFoundError):
                await ask(OURS, name)
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.quarantine") == 1
    assert await audited(connection) == []
