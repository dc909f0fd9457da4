"""What is kept for so long and no longer, besides the partitions of days."""

import json
import time
from uuid import UUID

import pytest

from dispatcher.config.sections import Retention
from dispatcher.engine.upkeep.maintenance import MaintenanceSteps, Step
from dispatcher.store.queries.audit import Audit
from dispatcher.store.queries.dashboard_sessions import DashboardSessions
from dispatcher.store.queries.partitions import Partitions
from dispatcher.store.queries.quarantine import Quarantine
from dispatcher.store.queries.replays import Replays
from dispatcher.store.queries.tokens import Tokens
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

DAY = 86_400.0
EVERYTHING = 2**62


@pytest.fixture
def steps(session: Session) -> dict[str, Step]:
    upkeep = MaintenanceSteps(
        session, Retention(events="30d", attempts="14d", audit="400d"), now=time.time
    )
    return {step.name: step for step in upkeep.table()}


async def old_event(connection: Connection, days: int) -> int:
    """An event of so many days ago, in quarantine."""
    await connection.execute(
        "SELECT dispatcher.make_partition('events', (now() AT TIME ZONE 'UTC')::date - $1::int)",
        days,
    )
    event: int = await connection.fetchval(
        """INSERT INTO dispatcher.events (id, type, data)
           VALUES (dispatcher.id_floor(now() - make_interval(days => $1)), 'a', '1') RETURNING id""",
        days,
    )
    await connection.execute(
        """WITH gone AS (DELETE FROM dispatcher.inbox RETURNING *)
           INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
           SELECT id, event_id, environment_id, type, 0, 'fan_out_failed', 'too much' FROM gone"""
    )
    return event


async def test_a_quarantined_event_expires_on_record_and_keeps_no_partition(
    connection: Connection, session: Session, steps: dict[str, Step]
) -> None:
    expired, kept = await old_event(connection, 32), await old_event(connection, 28)
    assert await Partitions(session).drop_one("events", 30 * DAY) is None
    assert not await steps["expire_quarantine"].run()
    (left,) = await Quarantine(session).list("env_default", EVERYTHING, 10)
    assert left["event_id"] == kept
    (entry,) = await connection.fetch("SELECT * FROM dispatcher.audit")
    assert (entry["actor"], entry["action"], entry["subject"]) == (
        "dispatcher",
        "quarantine.expire",
        f"q_{expired}",
    )
    assert json.loads(entry["detail"]) == {
        "event_id": f"evt_{expired}",
        "type": "a",
        "reason": "fan_out_failed",
    }
    assert await steps["drop_events"].run()


async def test_a_quarantined_delivery_that_expires_has_a_last_attempt(
    connection: Connection, session: Session
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=2)
    await connection.execute(
        """INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, reason, detail)
           SELECT id, event_id, environment_id, type, endpoint_id, id, 3, 'result_refused', 'x' FROM dispatcher.deliveries"""
    )
    await connection.execute("DELETE FROM dispatcher.deliveries")
    expired = await Quarantine(session).expire(EVERYTHING, 10)
    assert expired == [(one.event_id, "result_refused")]
    (last,) = await rows.attempts(connection)
    assert (last["delivery_id"], last["state"], last["attempt"]) == (one.id, "CANCELLED", 3)
    assert last["error"].startswith("expired: ")


async def test_a_waiting_replay_does_not_keep_a_partition(
    connection: Connection, session: Session, steps: dict[str, Step]
) -> None:
    endpoint = await rows.endpoint(connection, active=False)
    await old_event(connection, 32)
    await connection.execute("DELETE FROM dispatcher.quarantine")
    await running(connection, endpoint)
    assert await Partitions(session).drop_one("events", 30 * DAY) is None
    await steps["skip_dropped_events"].run()
    assert await Partitions(session).drop_one("events", 30 * DAY) is not None


async def running(connection: Connection, endpoint: UUID) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.replays (environment_id, endpoint_id, since, until, missed, position)
           VALUES ('env_default', $1, now() - interval '40 days', now(), true, 0)""",
        endpoint,
    )


async def test_ended_replays_are_deleted_in_parts(connection: Connection, session: Session) -> None:
    endpoint = await rows.endpoint(connection)
    for days in (40, 35, 20):
        await running(connection, endpoint)
        await connection.execute(
            """UPDATE dispatcher.replays SET state = 'DONE', finished_at = now() - make_interval(days => $1)
               WHERE state = 'RUNNING'""",
            days,
        )
    await running(connection, endpoint)
    recoveries = Replays(session)
    assert [await recoveries.prune(30 * DAY, 1) for _ in range(3)] == [1, 1, 0]
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.replays") == 2


async def test_the_audit_log_is_deleted_in_parts(connection: Connection, session: Session) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.audit (id, actor, action, subject)
           SELECT dispatcher.id_floor(now() - make_interval(days => n)), 'test', 'a', n::text
           FROM unnest(ARRAY[500, 450, 300]) AS n"""
    )
    floor = await connection.fetchval("SELECT dispatcher.id_floor(now() - interval '400 days')")
    assert [await Audit(session).prune(floor, 1) for _ in range(3)] == [1, 1, 0]
    assert await connection.fetchval("SELECT subject FROM dispatcher.audit") == "300"


async def test_tokens_are_deleted_long_after_their_end(
    connection: Connection, session: Session
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.tokens (name, scope, hash, revoked_at, expires_at)
           SELECT name, 'read', sha256(name::bytea), now() - revoked, now() - expired FROM (VALUES
             ('revoked long ago', interval '401 days', NULL::interval), ('expired long ago', NULL, '401 days'),
             ('expires later', '401 days', '-1 day'), ('revoked lately', '1 day', NULL), ('good', NULL, NULL),
             ('expired lately', NULL, '1 day')) AS t(name, revoked, expired)"""
    )
    assert [await Tokens(session).prune(400 * DAY, 2) for _ in range(3)] == [2, 1, 0]
    left = await connection.fetch("SELECT name FROM dispatcher.tokens ORDER BY name")
    assert [row["name"] for row in left] == ["expired lately", "good", "revoked lately"]


async def test_dashboard_sessions_are_deleted_when_they_have_expired(
    connection: Connection, session: Session
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.dashboard_sessions (id, token_hash, environment_id, expires_at)
           SELECT sha256(n::text::bytea), '', 'env_default', now() + make_interval(hours => n)
           FROM unnest(ARRAY[-2, -1, 1]) AS n"""
    )
    assert [await DashboardSessions(session).prune(1) for _ in range(3)] == [1, 1, 0]
