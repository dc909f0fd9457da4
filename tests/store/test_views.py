"""The views for people with psql: one row a delivery, one row an attempt."""

from dataclasses import replace

from dispatcher.core import ids
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.rows import DELIVERED, FAILED, RETRIED, Row, result

STATUS = "SELECT * FROM dispatcher.delivery_status ORDER BY delivery"


async def only(connection: Connection) -> Row:
    statuses: list[Row] = await connection.fetch(STATUS)
    assert len(statuses) == 1
    return statuses[0]


async def test_a_delivery_is_pending_with_the_last_answer_until_it_ends(
    connection: Connection, session: Session
) -> None:
    store = Deliveries(session)
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint)
    row = await only(connection)
    assert (row["delivery"], row["event"]) == (
        ids.delivery_name(pending.id),
        ids.event_name(pending.event_id),
    )
    assert (row["type"], row["environment_id"], row["endpoint_id"]) == (
        "user.created",
        "env_default",
        endpoint,
    )
    assert (row["state"], row["attempts"], row["last_status"]) == ("PENDING", 0, None)
    assert row["created_at"].timestamp() == ids.created_ms(pending.id) / 1000

    await store.record([result(pending, RETRIED)])
    await store.record([result(replace(pending, attempt=1), RETRIED, status=404)])
    row = await only(connection)
    assert (row["state"], row["attempts"], row["last_status"]) == ("PENDING", 2, 404)
    assert row["last_error"] == "the endpoint answered 500"
    (delivery,) = await rows.deliveries(connection)
    assert (row["next_attempt_at"], row["ended_at"]) == (delivery["next_at"], None)

    await store.record([result(replace(pending, attempt=2), DELIVERED)])
    row = await only(connection)
    assert (row["state"], row["attempts"], row["last_status"]) == ("DELIVERED", 3, 200)
    assert (row["last_error"], row["next_attempt_at"]) == (None, None)
    assert row["ended_at"] >= row["created_at"]


async def test_a_retried_delivery_is_always_one_row(
    connection: Connection, session: Session
) -> None:
    store = Deliveries(session)
    pending = await rows.delivery(connection, await rows.endpoint(connection))
    await store.record([result(pending, FAILED)])
    assert (await only(connection))["state"] == "FAILED"
    await connection.execute(
        """INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base)
           SELECT delivery_id, event_id, endpoint_id, environment_id, type, now(), 1, 1, 1 FROM dispatcher.attempts"""
    )
    row = await only(connection)
    assert (row["state"], row["attempts"], row["last_error"]) == (
        "PENDING",
        1,
        "no answer within 15 s",
    )
    await store.record([result(replace(pending, attempt=1), DELIVERED)])
    row = await only(connection)
    assert (row["state"], row["attempts"]) == ("DELIVERED", 2)


async def test_a_late_attempt_makes_no_second_row(connection: Connection, session: Session) -> None:
    store = Deliveries(session)
    pending = await rows.delivery(connection, await rows.endpoint(connection))
    await store.record([result(pending, DELIVERED)])
    await store.record_late([result(pending, FAILED)])
    row = await only(connection)
    assert (row["state"], row["last_error"]) == ("DELIVERED", None)


async def test_cancelled_deliveries_are_listed(connection: Connection, session: Session) -> None:
    await rows.delivery(connection, await rows.endpoint(connection, deleted=True), attempt=2)
    await Deliveries(session).cancel_expired_and_deleted(10, 0)
    row = await only(connection)
    assert (row["state"], row["attempts"], row["last_error"]) == (
        "CANCELLED",
        2,
        "the endpoint was deleted",
    )


async def test_every_attempt_is_a_row_with_the_names_people_know(
    connection: Connection, session: Session
) -> None:
    store = Deliveries(session)
    pending = await rows.delivery(connection, await rows.endpoint(connection))
    await store.record([result(pending, RETRIED)])
    await store.record([result(replace(pending, attempt=1), DELIVERED)])
    attempts = await connection.fetch("SELECT * FROM dispatcher.delivery_attempts ORDER BY attempt")
    assert [(row["attempt"], row["outcome"], row["status"], row["state"]) for row in attempts] == [
        (1, "http", 500, None),
        (2, "ok", 200, "DELIVERED"),
    ]
    assert {row["delivery"] for row in attempts} == {ids.delivery_name(pending.id)}
    assert [row["next_attempt_at"] is None for row in attempts] == [False, True]


async def test_a_delivery_in_quarantine_is_pending_with_the_reason(
    connection: Connection, session: Session
) -> None:
    store = Deliveries(session)
    one = await rows.delivery(connection, await rows.endpoint(connection))
    assert await store.quarantine(one, "refused")
    row = await only(connection)
    assert (row["delivery"], row["state"]) == (f"dlv_{one.id}", "PENDING")
    assert (row["attempts"], row["next_attempt_at"]) == (1, None)
    assert row["last_error"] == "in quarantine: refused"
