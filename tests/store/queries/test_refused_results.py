"""A result that the database refuses holds up no other: its delivery goes where people see it."""

from collections.abc import Sequence

import pytest

from dispatcher.core.model import Delivery
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.store.errors import StoreError
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.queries.quarantine import Quarantine
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'not this one' USING ERRCODE = '{code}';
    END $$;
    CREATE TRIGGER refuse BEFORE {action} ON dispatcher.{table} FOR EACH ROW WHEN ({condition})
      EXECUTE FUNCTION refuse()"""


async def refuse(
    connection: Connection,
    condition: str,
    *,
    action: str = "INSERT",
    table: str = "attempts",
    code: str = "P0001",
) -> None:
    await connection.execute(
        REFUSE.format(condition=condition, action=action, table=table, code=code)
    )


class Ends:
    """A recorder, and what became of its results."""

    def __init__(self, session: Session) -> None:
        self.settled: list[int] = []
        self.lost: list[int] = []
        self.unrecordable: list[int] = []
        self.recorder = Recorder(
            Deliveries(session),
            kept=lambda: range(64),
            on_recorded=lambda delivery, _: self.settled.append(delivery.id),
            on_late=lambda delivery: self.lost.append(delivery.id),
            on_unrecordable=lambda delivery: self.unrecordable.append(delivery.id),
            on_room=lambda: None,
            on_batch=lambda _: None,
        )

    async def record(self, deliveries: Sequence[Delivery], limit: int = 40) -> None:
        for delivery in deliveries:
            self.recorder.put(rows.result(delivery))
        for _ in range(limit):
            if not len(self.recorder):
                return
            await self.recorder.run_once()
        raise AssertionError(f"{len(self.recorder)} results still wait")


async def pending(connection: Connection, count: int) -> list[Delivery]:
    endpoint = await rows.endpoint(connection)
    first = await rows.delivery(connection, endpoint)
    records = await connection.fetch(
        """INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard)
           SELECT dispatcher.next_id(), event_id, endpoint_id, environment_id, type, next_at, shard
           FROM dispatcher.deliveries, generate_series(2, $1::int) RETURNING id""",
        count,
    )
    return [first, *(Delivery(r["id"], first.event_id, endpoint, 3, 0, 0, 0.0) for r in records)]


@pytest.mark.parametrize("code", ["P0001", "22003", "23514", "54000", "XX001"])
async def test_the_results_around_a_refused_one_are_written(
    connection: Connection, session: Session, code: str
) -> None:
    deliveries = await pending(connection, 501)
    bad = deliveries[250]
    await refuse(connection, f"NEW.delivery_id = {bad.id}", code=code)
    ends = Ends(session)
    await ends.record(deliveries)
    assert len(await rows.attempts(connection)) == 500
    assert sorted(ends.settled) == sorted(d.id for d in deliveries)
    assert await rows.deliveries(connection) == []
    (entry,) = await Quarantine(session).list("env_default", 2**62, 10)
    assert (entry["delivery_id"], entry["endpoint_id"]) == (bad.id, bad.endpoint_id)
    assert entry["reason"] == "result_refused"
    assert "not this one" in entry["detail"]


async def test_an_added_constraint_refuses_only_one_result(
    connection: Connection, session: Session
) -> None:
    made = await pending(connection, 3)
    await connection.execute(
        f"ALTER TABLE dispatcher.attempts ADD CHECK (delivery_id <> {made[0].id})"
    )
    ends = Ends(session)
    await ends.record(made)
    assert [a["delivery_id"] for a in await rows.attempts(connection)] == [made[1].id, made[2].id]
    assert len(await Quarantine(session).list("env_default", 2**62, 10)) == 1


async def test_a_quarantined_delivery_is_released_with_its_id_and_attempt_number(
    connection: Connection, session: Session, owner: int
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=2)
    await refuse(connection, f"NEW.delivery_id = {one.id}")
    await Ends(session).record([one])
    (entry,) = await Quarantine(session).list("env_default", 2**62, 10)
    assert await Quarantine(session).release("env_default", entry["id"]) is not None
    await Inbox(session).fan_out(limit=10, shard=3, daemon=owner, saturated=[], after_id=0)
    (again,) = await rows.deliveries(connection)
    assert (again["id"], again["attempt"], again["base"]) == (one.id, 3, 3)


async def test_a_refused_result_of_a_changed_delivery_is_dropped(
    connection: Connection, session: Session
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection))
    await connection.execute("UPDATE dispatcher.deliveries SET attempt = 5")
    await refuse(connection, f"NEW.delivery_id = {one.id}")
    ends = Ends(session)
    await ends.record([one])
    assert (ends.settled, ends.lost) == ([], [one.id])
    assert [d["attempt"] for d in await rows.deliveries(connection)] == [5]


async def test_a_delivery_whose_row_cannot_be_moved_is_not_sent_again(
    connection: Connection, session: Session
) -> None:
    made = await pending(connection, 3)
    await refuse(
        connection, f"OLD.id = {made[1].id}", action="DELETE", table="deliveries", code="22000"
    )
    ends = Ends(session)
    await ends.record(made)
    assert (ends.settled, ends.lost) == ([made[0].id, made[2].id], [])  # held as unrecorded
    assert ends.unrecordable == [made[1].id]


@pytest.mark.parametrize("count", [1, 30])
async def test_when_no_result_can_be_written_none_is_quarantined(
    connection: Connection, session: Session, count: int
) -> None:
    deliveries = await pending(connection, count)
    await refuse(connection, "true")
    ends = Ends(session)
    with pytest.raises(StoreError, match="not this one"):
        await ends.record(deliveries)
    assert (len(ends.recorder), ends.settled) == (len(deliveries), [])
    assert len(await rows.deliveries(connection)) == len(deliveries)
    await connection.execute("DROP TRIGGER refuse ON dispatcher.attempts")
    await ends.record([])
    assert sorted(ends.settled) == sorted(d.id for d in deliveries)


async def test_an_error_that_is_not_about_data_keeps_all_results_waiting(
    connection: Connection, session: Session
) -> None:
    deliveries = await pending(connection, 2)
    await connection.execute("ALTER TABLE dispatcher.attempts RENAME TO elsewhere")
    ends = Ends(session)
    with pytest.raises(StoreError):
        await ends.record(deliveries)
    assert (len(ends.recorder), ends.settled) == (2, [])
    await connection.execute("ALTER TABLE dispatcher.elsewhere RENAME TO attempts")
    await ends.record([])
    assert len(await rows.attempts(connection)) == 2


async def test_the_attempt_after_32767_is_written(connection: Connection, session: Session) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=32_767)
    await Ends(session).record([one])
    assert [a["attempt"] for a in await rows.attempts(connection)] == [32_768]
