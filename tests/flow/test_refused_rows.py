"""One row that is refused, always: in each queue the others go on, and people see the one."""

from dispatcher import ids
from tests.conftest import Connection
from tests.flow.stories import Daemons, Story, numbers, until
from tests.receivers import Receiver

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
    found = await connection.fetch("SELECT type, reason FROM dispatcher.quarantine ORDER BY id")
    return [(row["type"], row["reason"]) for row in found]


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


async def test_a_directed_row_that_cannot_be_fanned_out_holds_up_no_other(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    webhook = await story.subscribe(receiver.url, "user.created")
    await refuse(connection, "NEW.type = 'bad.one'", table="deliveries")
    await connection.execute(
        """WITH made AS (
             INSERT INTO dispatcher.events (type, data, source) VALUES ('bad.one', '1', 'directed') RETURNING id)
           INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id)
           SELECT dispatcher.next_id(), id, 'env_default', 'bad.one', $1 FROM made""",
        webhook.id,
    )
    await story.insert(10)
    daemon = await daemons.start()
    await story.ended(DELIVERED=10)
    assert await quarantined(connection) == [("bad.one", "fan_out_failed")]
    assert daemons.alive(daemon)


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
    await story.ended(DELIVERED=40)
    await until(lambda: numbers(receiver.requests)[1000] == 1, "it was sent")
    await daemons.stop(first)
    await daemons.start()
    await story.insert(5, first=41)
    await story.ended(DELIVERED=45)
    assert numbers(receiver.requests)[1000] == 1
    assert await quarantined(connection) == [("bad.one", "result_refused")]


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
