"""Events inserted in the replica role, as logical replication does: found, and decided on."""

import pytest

from dispatcher.store.replicated import Replicated
from dispatcher.store.session import Session
from dispatcher.store.triggers import Triggers
from tests.conftest import Connection
from tests.store import rows

INSERT = (
    "INSERT INTO dispatcher.events (environment_id, type, data) VALUES ($1, $2, '1') RETURNING id"
)


@pytest.fixture
async def replica(connection: Connection) -> Connection:
    """As an apply worker: only triggers for replicas fire."""
    await connection.execute("SET session_replication_role = replica")
    return connection


async def arrive(replica: Connection, type_: str = "a", environment: str = "env_default") -> int:
    event: int = await replica.fetchval(INSERT, environment, type_)
    return event


async def adopt(session: Session, most: int = 100, too_old_below: int = 0) -> dict[int, str]:
    found = await Replicated(session).adopt(after_seconds=0, most=most, too_old_below=too_old_below)
    return dict(found)


async def test_what_our_triggers_did_not_see_is_sent(replica: Connection, session: Session) -> None:
    event = await arrive(replica)
    assert await rows.inbox(replica) == []
    assert await adopt(session) == {event: "sent"}
    assert await rows.inbox(replica) == [event]
    assert await adopt(session) == {}


async def test_an_ordinary_insert_is_none_of_its_business(
    connection: Connection, session: Session
) -> None:
    await rows.event(connection)
    assert await adopt(session) == {}


async def test_with_all_triggers_enabled_an_ordinary_insert_leaves_no_mark(
    connection: Connection, session: Session
) -> None:
    """As after pg_restore --disable-triggers."""
    await connection.execute("ALTER TABLE dispatcher.events ENABLE TRIGGER ALL")
    await rows.event(connection)
    assert await adopt(session) == {}


async def test_one_that_comes_with_what_became_of_it_is_left_alone(
    replica: Connection, session: Session
) -> None:
    """As where the whole schema is replicated."""
    endpoint = await rows.endpoint(replica)
    inbox, pending, ended, aside, plain = [await arrive(replica) for _ in range(5)]
    await replica.execute(
        "INSERT INTO dispatcher.inbox (id, event_id, environment_id, type) VALUES ($1, $1, 'env_default', 'a')",
        inbox,
    )
    await rows.delivery(replica, endpoint, event_id=pending)
    await replica.execute(
        """INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at,
                                            outcome, duration_ms, request_headers, state)
           VALUES (1, $1, $2, 'env_default', 'a', 1, now(), 'ok', 1, '{}', 'DELIVERED')""",
        ended,
        endpoint,
    )
    await replica.execute(
        """INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
           VALUES ($1, $1, 'env_default', 'a', 0, 'r', 'd')""",
        aside,
    )
    assert await adopt(session) == {
        **dict.fromkeys([inbox, pending, ended, aside], "known"),
        plain: "sent",
    }
    assert await rows.inbox(replica) == [inbox, plain]


async def test_what_the_triggers_would_have_looked_at_is(
    replica: Connection, session: Session
) -> None:
    await replica.execute(
        "INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce) VALUES ('env_default', 'e', '{}', true)"
    )
    enforced, unknown = await arrive(replica, "e"), await arrive(replica, environment="nowhere")
    assert await adopt(session) == {enforced: "to_check", unknown: "quarantined"}
    assert await replica.fetchval("SELECT id FROM dispatcher.unvalidated_events") == enforced
    assert (
        await replica.fetchval("SELECT reason FROM dispatcher.quarantine") == "unknown_environment"
    )


async def test_what_is_too_old_is_not_sent(replica: Connection, session: Session) -> None:
    old, new = await arrive(replica), await arrive(replica)
    assert await adopt(session, too_old_below=new) == {old: "too_old", new: "sent"}


async def test_some_at_a_time_and_what_arrived_just_now_waits(
    replica: Connection, session: Session
) -> None:
    events = [await arrive(replica) for _ in range(3)]
    later = await Replicated(session).adopt(after_seconds=60, most=9, too_old_below=0)
    assert later == []
    assert [list(await adopt(session, most=2)) for _ in range(2)] == [events[:2], events[2:]]


@pytest.mark.parametrize(
    ("change", "silent"),
    [
        ("ENABLE TRIGGER events_inserted", []),
        ("ENABLE ALWAYS TRIGGER events_inserted", []),
        ("DISABLE TRIGGER events_inserted", ["events_inserted"]),
        ("ENABLE REPLICA TRIGGER events_inserted", ["events_inserted"]),
        ("DISABLE TRIGGER event_replicated", []),
    ],
)
async def test_a_trigger_that_does_not_fire_is_named(
    connection: Connection, session: Session, change: str, silent: list[str]
) -> None:
    await connection.execute(f"ALTER TABLE dispatcher.events {change}")
    assert await Triggers(session).silent() == silent


async def test_a_trigger_disabled_on_one_partition_is_named(
    connection: Connection, session: Session
) -> None:
    await connection.execute("ALTER TABLE dispatcher.events_default DISABLE TRIGGER event_checked")
    assert await Triggers(session).silent() == ["event_checked on events_default"]


async def test_it_fires_also_in_partitions_that_are_made_later(
    replica: Connection, session: Session
) -> None:
    """And for what is inserted into a partition itself, as logical replication does."""
    await replica.execute("SET session_replication_role = origin")
    await replica.execute(
        "SELECT dispatcher.make_partition('events', (now() + interval '20 days')::date)"
    )
    await replica.execute("SET session_replication_role = replica")
    child = await replica.fetchval(
        "SELECT 'dispatcher.' || dispatcher.partition_name('events', (now() + interval '20 days')::date)"
    )
    event = await replica.fetchval(
        f"""INSERT INTO {child} (id, type, data)
            SELECT dispatcher.id_floor((now() + interval '20 days')::date + interval '1 hour'), 'a', '1' RETURNING id"""
    )
    assert await adopt(session) == {event: "sent"}
