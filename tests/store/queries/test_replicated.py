"""Events inserted in the replica role, as logical replication does: found, and decided on."""

import re

import pytest

from dispatcher.core import remedies
from dispatcher.core.remedies import DEFINITIONS
from dispatcher.store.queries.replicated import Replicated
from dispatcher.store.queries.triggers import Triggers
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.queries.test_replays import start, step

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


async def adopt(session: Session, limit: int = 100, too_old_below: int = 0) -> dict[int, str]:
    adopted = await Replicated(session).adopt(
        after_seconds=0, limit=limit, too_old_below=too_old_below
    )
    return dict(adopted)


async def test_a_replicated_event_without_deliveries_is_sent(
    replica: Connection, session: Session
) -> None:
    event = await arrive(replica)
    assert await rows.inbox(replica) == []
    assert await adopt(session) == {event: "inbox"}
    assert await rows.inbox(replica) == [event]
    assert await adopt(session) == {}


async def test_an_ordinary_insert_is_not_noted_as_replicated(
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


async def test_a_replicated_event_with_its_own_deliveries_is_left_alone(
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
                                            outcome, duration_ms, state)
           VALUES (1, $1, $2, 'env_default', 'a', 1, now(), 'ok', 1, 'DELIVERED')""",
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
        plain: "inbox",
    }
    assert await rows.inbox(replica) == [inbox, plain]


async def test_a_replicated_event_gets_the_checks_of_the_triggers(
    replica: Connection, session: Session
) -> None:
    await replica.execute(
        "INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce) VALUES ('env_default', 'e', '{}', true)"
    )
    enforced, unknown = await arrive(replica, "e"), await arrive(replica, environment="nowhere")
    assert await adopt(session) == {enforced: "schema_check", unknown: "quarantine"}
    assert await replica.fetchval("SELECT id FROM dispatcher.unvalidated_events") == enforced
    assert (
        await replica.fetchval("SELECT reason FROM dispatcher.quarantine") == "unknown_environment"
    )


async def test_a_replicated_event_that_is_too_old_is_not_sent(
    replica: Connection, session: Session
) -> None:
    old, new = await arrive(replica), await arrive(replica)
    assert await adopt(session, too_old_below=new) == {old: "too_old", new: "inbox"}


async def test_replicated_events_are_sent_in_parts_and_recent_ones_wait(
    replica: Connection, session: Session
) -> None:
    events = [await arrive(replica) for _ in range(3)]
    later = await Replicated(session).adopt(after_seconds=60, limit=9, too_old_below=0)
    assert later == []
    assert [list(await adopt(session, limit=2)) for _ in range(2)] == [events[:2], events[2:]]


REPLICATED_IN_PARTITIONS = ["event_replicated on events_default"]


@pytest.mark.parametrize(
    ("change", "silent"),
    [
        ("ENABLE TRIGGER events_inserted", []),
        ("ENABLE ALWAYS TRIGGER events_inserted", []),
        ("DISABLE TRIGGER events_inserted", ["events_inserted"]),
        ("ENABLE REPLICA TRIGGER events_inserted", ["events_inserted"]),
        ("DISABLE TRIGGER event_replicated", []),  # on purpose, as the documents say
        ("ENABLE ALWAYS TRIGGER event_replicated", []),
        ("ENABLE TRIGGER event_replicated", ["event_replicated", *REPLICATED_IN_PARTITIONS]),
    ],
)
async def test_a_trigger_that_does_not_fire_is_named(
    connection: Connection, session: Session, change: str, silent: list[str]
) -> None:
    await connection.execute(f"ALTER TABLE dispatcher.events {change}")
    named = await Triggers(session).silent()
    assert [name for name in named if " on " not in name or "default" in name] == silent


async def test_the_replica_trigger_fires_again_as_the_remedy_says(
    replica: Connection, session: Session
) -> None:
    await replica.execute("ALTER TABLE dispatcher.events DISABLE TRIGGER ALL, ENABLE TRIGGER ALL")
    silent = await Triggers(session).silent()
    assert "event_replicated" in silent
    await arrive(replica)
    assert await adopt(session) == {}
    for statement in re.findall("ALTER .*?;", remedies.of_disabled_triggers(silent)):
        await replica.execute(statement)
    assert await Triggers(session).silent() == []
    event = await arrive(replica)
    assert await adopt(session) == {event: "inbox"}


@pytest.mark.parametrize("name", DEFINITIONS)
async def test_a_dropped_trigger_is_named_and_created_again_as_the_remedy_says(
    connection: Connection, session: Session, name: str
) -> None:
    definition = (
        "SELECT pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger"
        " WHERE tgrelid = 'dispatcher.events'::regclass AND tgname = $1"
    )
    before = await connection.fetchval(definition, name)
    await connection.execute(f"DROP TRIGGER {name} ON dispatcher.events")
    silent = await Triggers(session).silent()
    assert silent == [f"{name} (dropped)"]
    for statement in re.findall("(?:CREATE|ALTER) .*?;", remedies.of_disabled_triggers(silent)):
        await connection.execute(statement)
    assert await Triggers(session).silent() == []
    assert await connection.fetchval(definition, name) == before


async def test_a_trigger_disabled_on_one_partition_is_named(
    connection: Connection, session: Session
) -> None:
    await connection.execute("ALTER TABLE dispatcher.events_default DISABLE TRIGGER event_checked")
    assert await Triggers(session).silent() == ["event_checked on events_default"]


async def test_the_replica_trigger_fires_in_later_partitions(
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
    assert await adopt(session) == {event: "inbox"}


async def test_a_replay_leaves_out_an_event_that_is_not_decided_on_yet(
    replica: Connection, session: Session
) -> None:
    """Otherwise the replay's delivery would look as if the event had been fanned out."""
    one, _ = [await rows.endpoint(replica, "*") for _ in range(2)]
    event = await arrive(replica)
    await start(session, one)
    await step(session)
    assert await rows.inbox(replica) == []
    assert await adopt(session) == {event: "inbox"}  # for both
