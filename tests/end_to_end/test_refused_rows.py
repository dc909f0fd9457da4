"""One row that is refused, always: in each queue the others go on, and people see the one."""

from uuid import UUID

import orjson
import pytest

from dispatcher.core import ids
from dispatcher.schema_validation.validate import Rejection
from dispatcher.schema_validation.worker import Sandbox
from tests.conftest import Connection
from tests.end_to_end.inside import a_share_each, has_unrecorded
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Receiver
from tests.waiting import until

REFUSE = """
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'not this one';
    END $$;
    CREATE TRIGGER refuse BEFORE {action} ON dispatcher.{table} FOR EACH ROW WHEN ({condition})
      EXECUTE FUNCTION refuse()"""


async def refuse(
    connection: Connection, condition: str, *, table: str, action: str = "INSERT"
) -> None:
    await connection.execute(REFUSE.format(condition=condition, table=table, action=action))


async def quarantined(connection: Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("SELECT type, reason FROM dispatcher.quarantine ORDER BY id")
    return [(row["type"], row["reason"]) for row in rows]


@pytest.mark.long
async def test_an_event_that_cannot_be_fanned_out_holds_up_no_other(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    await story.subscribe(receiver.url)
    await refuse(connection, "NEW.type = 'bad.one'", table="deliveries")
    await connection.execute("INSERT INTO dispatcher.environments (id, name) VALUES ('other', 'o')")
    await story.insert(150)
    await story.insert(3, first=1000, type_="bad.one")
    await story.insert(150, first=151)
    daemon = await daemons.start()
    await story.ended(DELIVERED=300)
    assert sorted(numbers(receiver.requests)) == list(range(1, 301))
    assert await quarantined(connection) == [("bad.one", "fan_out_failed")] * 3
    assert daemons.alive(daemon)


@pytest.mark.long
async def test_a_directed_row_that_cannot_be_fanned_out_holds_up_no_other(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    webhook = await story.subscribe(receiver.url, "user.created")
    await refuse(connection, "NEW.type = 'bad.one'", table="deliveries")
    await connection.execute(
        """WITH made AS (
             INSERT INTO dispatcher.events (type, data, source) VALUES ('bad.one', '1', 'directed') RETURNING id)
           INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id)
           SELECT dispatcher.next_id(), id, 'env_default', 'bad.one', $1 FROM made""",
        webhook.id,
    )
    await story.insert(10)
    daemon = await daemons.start()
    await story.ended(DELIVERED=10)
    assert await quarantined(connection) == [("bad.one", "fan_out_failed")]
    assert daemons.alive(daemon)


@pytest.mark.long
async def test_event_after_event_that_cannot_be_fanned_out_ends_no_daemon(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    await story.subscribe(receiver.url)
    await refuse(connection, "NEW.type = 'bad.one'", table="deliveries")
    await story.insert(24, type_="bad.one")
    await story.insert(1)
    daemon = await daemons.start()
    await story.ended(DELIVERED=1)
    assert await quarantined(connection) == [("bad.one", "fan_out_failed")] * 24
    assert daemons.alive(daemon)


async def test_a_result_that_cannot_be_written_is_not_sent_again_by_a_restarted_daemon(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    await story.subscribe(receiver.url)
    await refuse(connection, "NEW.type = 'bad.one'", table="attempts")
    await story.insert(20)
    await story.insert(1, first=1000, type_="bad.one")
    await story.insert(20, first=21)
    first = await daemons.start()
    await story.ended(DELIVERED=40, PENDING=1)
    await until(lambda: numbers(receiver.requests)[1000] == 1, "it was sent")
    await daemons.stop(first)
    await daemons.start()
    await story.insert(5, first=41)
    await story.ended(DELIVERED=45, PENDING=1)
    assert numbers(receiver.requests)[1000] == 1
    assert await quarantined(connection) == [("bad.one", "result_refused")]


async def test_a_result_that_cannot_even_be_quarantined_keeps_no_shard_from_a_second_daemon(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    webhook = await story.subscribe(receiver.url, ordered=True)
    await connection.execute("UPDATE dispatcher.endpoints SET home_shard = 63")
    for table in ("attempts", "quarantine"):
        await refuse(connection, "NEW.type = 'bad.one'", table=table)
    one = await daemons.start()
    await story.insert(type_="bad.one")
    await receiver.wait_for(1)
    await until(lambda: not has_unrecorded(one), "its result was given up")
    await a_share_each(one, await daemons.start())
    await receiver.wait_for(2)
    await story.change(webhook.id, ordered=False)
    await story.insert(20)
    await story.ended(DELIVERED=20, PENDING=1)


async def test_an_event_that_cannot_be_read_ends_its_deliveries_only(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    """Its data is no UTF-8, as after a disk wrote something else."""
    await story.subscribe(receiver.url)
    await story.insert(20)
    await connection.execute("CREATE CAST (bytea AS json) WITHOUT FUNCTION")
    bad = await connection.fetchval(
        "INSERT INTO dispatcher.events (type, data) VALUES ('bad.one', '\\x22ff22'::bytea::json) RETURNING id"
    )
    await story.insert(20, first=21)
    daemon = await daemons.start()
    await story.ended(DELIVERED=40, FAILED=1)
    (row,) = [a for a in await story.attempts() if a["state"] == "FAILED"]
    assert (row["event_id"], row["outcome"]) == (bad, "cancelled")
    assert "cannot be read" in row["error"]
    assert ids.event_name(bad) not in row["error"]
    assert daemons.alive(daemon)


async def test_a_delivery_that_fails_without_a_request_is_reported_as_exhausted(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver, connection: Connection
) -> None:
    await story.subscribe(receiver.url, "bad.one")
    await story.subscribe(another.url, "delivery.exhausted")
    await connection.execute("CREATE CAST (bytea AS json) WITHOUT FUNCTION")
    bad = await connection.fetchval(
        "INSERT INTO dispatcher.events (type, data) VALUES ('bad.one', '\\x22ff22'::bytea::json) RETURNING id"
    )
    await daemons.start()
    (request,) = await another.wait_for(1)
    data = orjson.loads(request.body)["data"]
    assert (data["event_id"], data["event"]) == (ids.event_name(bad), "bad.one")
    assert receiver.requests == []


async def test_an_endpoint_whose_row_cannot_be_read_is_held_and_the_others_go_on(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    """Its URL is no UTF-8."""
    await story.subscribe(receiver.url)
    bad = await story.subscribe(receiver.url + "bad")
    await connection.execute("CREATE CAST (bytea AS text) WITHOUT FUNCTION")
    await connection.execute(
        "UPDATE dispatcher.endpoints SET url = ('\\xff'::bytea)::text WHERE id = $1", bad.id
    )
    await story.insert(20)
    daemon = await daemons.start()
    await story.ended(DELIVERED=20, PENDING=20)
    await story.change(bad.id, url=receiver.url)
    await story.ended(DELIVERED=40)
    assert daemons.alive(daemon)


async def test_a_refused_note_about_an_endpoint_does_not_block_others(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver, connection: Connection
) -> None:
    bad = await story.subscribe(receiver.url)
    good = await story.subscribe(another.url)
    for target in (receiver, another):
        target.otherwise = 500
    await refuse(
        connection,
        f"NEW.endpoint_id = '{bad.id}'",
        table="endpoint_health",
        action="INSERT OR UPDATE",
    )
    await refuse_statistics(connection, bad.id)
    daemon = await daemons.start(retry={"retries": 0})
    await story.insert(3)
    await story.ended(FAILED=6)

    async def noted() -> bool:
        health = await connection.fetch("SELECT endpoint_id FROM dispatcher.endpoint_health")
        sums = await connection.fetch(
            "SELECT endpoint_id, sum(failed_attempts) AS failures FROM dispatcher.endpoint_statistics GROUP BY 1"
        )
        return [r["endpoint_id"] for r in health] == [good.id] and [
            (r["endpoint_id"], r["failures"]) for r in sums
        ] == [(good.id, 3)]

    await until(noted, "the other endpoint's facts are written")
    assert daemons.alive(daemon)


async def refuse_statistics(connection: Connection, endpoint_id: UUID) -> None:
    await connection.execute(
        f"ALTER TABLE dispatcher.endpoint_statistics ADD CHECK (endpoint_id <> '{endpoint_id}')"
    )


async def test_a_refused_operational_event_does_not_block_others(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    bad = await story.subscribe(receiver.url, "user.created")
    good = await story.subscribe(receiver.url + "good", "user.created")
    await story.subscribe(receiver.url + "told", "delivery.exhausted")
    receiver.otherwise = 500
    await refuse(
        connection,
        f"NEW.source = 'dispatcher' AND NEW.data->>'webhook_id' = '{bad.id}'",
        table="events",
    )
    daemon = await daemons.start(retry={"retries": 0})
    await story.insert(1)

    async def emitted() -> bool:
        rows = await connection.fetch(
            "SELECT data->>'webhook_id' AS id FROM dispatcher.events WHERE type = 'delivery.exhausted'"
        )
        return [r["id"] for r in rows] == [str(good.id)]

    await until(emitted, "the other one is emitted")
    assert daemons.alive(daemon)


async def test_a_replay_that_fails_delays_no_other_and_shows_its_reason(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    bad = await story.subscribe(receiver.url + "bad", "user.created")
    good = await story.subscribe(receiver.url, "user.created")
    receiver.otherwise = 500
    daemon = await daemons.start(retry={"retries": 0})
    await story.insert(5)
    await story.ended(FAILED=10)
    receiver.otherwise = 200
    await refuse(connection, f"NEW.endpoint_id = '{bad.id}'", table="inbox_directed")
    await connection.execute(
        """INSERT INTO dispatcher.replays (environment_id, endpoint_id, since, until, missed, position, next_at)
           SELECT 'env_default', id, now() - interval '1 hour', now(), false, 0, now() - make_interval(secs => wait)
           FROM unnest($1::uuid[], $2::int[]) AS r(id, wait)""",
        [bad.id, good.id],
        [60, 1],
    )
    await story.ended(FAILED=5, DELIVERED=5)

    async def put_off() -> bool:
        row = await connection.fetchrow(
            "SELECT failures, error, state FROM dispatcher.replays WHERE endpoint_id = $1",
            bad.id,
        )
        return row is not None and row["failures"] > 0 and "not this one" in row["error"]

    await until(put_off, "its failure is noted")
    await connection.execute("UPDATE dispatcher.replays SET failures = 7, next_at = now()")

    async def failed() -> bool:
        row = await connection.fetchrow(
            "SELECT state FROM dispatcher.replays WHERE endpoint_id = $1", bad.id
        )
        return row is not None and row["state"] == "FAILED"

    await until(failed, "it is FAILED")
    assert daemons.alive(daemon)


async def enforce(connection: Connection, name: str) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce) VALUES ('env_default', $1, '{}', true)",
        name,
    )


async def test_an_event_that_cannot_be_checked_delays_no_other(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One cannot be read, one breaks the check, one is refused by the inbox."""
    await story.subscribe(receiver.url)
    await enforce(connection, "user.created")
    await enforce(connection, "bad.move")
    validate = Sandbox.validate

    async def breaking(sandbox: Sandbox, schema: str, data: str | None = None) -> Rejection | None:
        if data is not None and "1000" in data:
            raise ValueError("no answer that can be read")
        return await validate(sandbox, schema, data)

    monkeypatch.setattr(Sandbox, "validate", breaking)
    await connection.execute("CREATE CAST (bytea AS json) WITHOUT FUNCTION")
    await refuse(connection, "NEW.type = 'bad.move'", table="inbox")
    await story.insert(5)
    await story.insert(1, first=1000)
    await story.insert(1, type_="bad.move")
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '\\x22ff22'::bytea::json)"
    )
    await story.insert(5, first=6)
    daemon = await daemons.start()
    await story.ended(DELIVERED=10)

    async def put_aside() -> bool:
        return sorted(await quarantined(connection)) == [
            ("bad.move", "fan_out_failed"),
            ("user.created", "check_failed"),
            ("user.created", "unreadable"),
        ]

    await until(put_aside, "the three are in quarantine")
    assert daemons.alive(daemon)


async def test_a_step_of_maintenance_that_fails_ends_no_daemon_and_no_other_step(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    await story.subscribe(receiver.url)
    await connection.execute("ALTER TABLE dispatcher.replicated_events RENAME TO elsewhere")
    await connection.execute(
        """INSERT INTO dispatcher.dashboard_sessions (id, token_hash, environment_id, expires_at)
           VALUES (sha256(''), '', 'env_default', now() - interval '1 hour')"""
    )
    daemon = await daemons.start()

    async def pruned() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM dispatcher.dashboard_sessions")

    await until(pruned, "a later step is done")
    await story.insert(3)
    await story.ended(DELIVERED=3)
    assert daemons.alive(daemon)


async def test_deliveries_due_at_no_time_that_is_a_number_hold_up_no_other(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    """Somebody wrote to the table."""
    await story.subscribe(receiver.url)
    first = await daemons.start()
    receiver.otherwise = 500
    await story.insert(3)
    await until(lambda: len(receiver.requests) >= 3, "all were tried")
    await daemons.stop(first)
    pending = await connection.fetch("SELECT id FROM dispatcher.deliveries ORDER BY id")
    for row, moment in zip(pending, ["infinity", "-infinity", "now"], strict=True):
        await connection.execute(
            "UPDATE dispatcher.deliveries SET next_at = $1::text::timestamptz WHERE id = $2",
            moment,
            row["id"],
        )
    receiver.otherwise = 200
    daemon = await daemons.start()
    await story.insert(3, first=4)
    await story.ended(DELIVERED=5, PENDING=1)
    assert daemons.alive(daemon)
