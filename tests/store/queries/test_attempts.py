"""Results become attempts: the delivery ends or gets its next time in the same statement, once."""

import asyncio
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from dispatcher.core.model import Result, Timings
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.rows import DELIVERED, FAILED, RETRIED, result


@pytest.fixture
def deliveries(session: Session) -> Deliveries:
    return Deliveries(session)


async def written(connection: Connection) -> list[tuple[int, int, str, str | None]]:
    """delivery, number, outcome, state of each attempt, in the order they were written."""
    return [
        (row["delivery_id"], row["attempt"], row["outcome"], row["state"])
        for row in await rows.attempts(connection)
    ]


# ── in time ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_delivered_result_deletes_the_delivery_and_writes_the_whole_attempt(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint, attempt=2)
    made = result(pending, timings=Timings(0.001, 0.02, None, 0.3))
    assert await deliveries.record([made]) == {pending.id: None}
    assert await rows.deliveries(connection) == []
    (row,) = await rows.attempts(connection)
    assert row["started_at"].timestamp() == made.started_at
    assert row["id"] > pending.id
    assert {name: value for name, value in row.items() if name not in ("id", "started_at")} == {
        "delivery_id": pending.id,
        "event_id": pending.event_id,
        "endpoint_id": endpoint,
        "environment_id": "env_default",
        "type": "user.created",
        "attempt": 3,
        "outcome": "ok",
        "status": 200,
        "duration_ms": 12,
        "error": None,
        "brand": "Acme",
        "signed_at": 1_700_000_000,
        "response_headers": '["a","b"]',
        "response_body": b"\x00\xff",
        "next_at": None,
        "state": "DELIVERED",
        "lookup_ms": 1,
        "connect_ms": 20,
        "tls_ms": None,
        "first_byte_ms": 300,
    }


async def test_a_retry_gets_its_next_time_by_the_databases_clock(
    connection: Connection, deliveries: Deliveries
) -> None:
    pending = await rows.delivery(connection, await rows.endpoint(connection), attempt=1, base=1)
    now = "SELECT extract(epoch FROM clock_timestamp())::float8"
    before = await connection.fetchval(now)
    next_at = (await deliveries.record([result(pending, RETRIED)]))[pending.id]
    assert next_at is not None
    assert before + 10 <= next_at <= await connection.fetchval(now) + 10
    (row,) = await rows.deliveries(connection)
    assert (row["attempt"], row["base"], row["shard"]) == (2, 1, pending.shard)
    assert row["next_at"].timestamp() == next_at
    (attempt,) = await rows.attempts(connection)
    assert (attempt["next_at"], attempt["state"], attempt["error"]) == (
        row["next_at"],
        None,
        "the endpoint answered 500",
    )


async def test_a_failure_without_an_answer_writes_no_response_columns(
    connection: Connection, deliveries: Deliveries
) -> None:
    pending = await rows.delivery(connection, await rows.endpoint(connection))
    assert await deliveries.record([result(pending, FAILED)]) == {pending.id: None}
    (row,) = await rows.attempts(connection)
    assert (row["outcome"], row["state"], row["error"]) == (
        "timeout",
        "FAILED",
        "no answer within 15 s",
    )
    assert (row["status"], row["response_headers"], row["response_body"]) == (None, None, None)


async def test_a_retried_delivery_is_no_longer_parked(
    connection: Connection, deliveries: Deliveries
) -> None:
    pending = await rows.delivery(connection, await rows.endpoint(connection), parked=True)
    await deliveries.record([result(pending, RETRIED)])
    (row,) = await rows.deliveries(connection)
    assert row["parked"] is False


async def test_a_retried_delivery_of_an_ordered_endpoint_stays_parked(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection, home=41)
    parked = await rows.delivery(connection, endpoint, shard=41, parked=True)
    timed = await rows.delivery(connection, endpoint, shard=41, parked=False)
    await deliveries.record([result(parked, RETRIED), result(timed, RETRIED)])
    flags = {row["id"]: row["parked"] for row in await rows.deliveries(connection)}
    assert flags == {parked.id: True, timed.id: False}


async def test_a_result_of_a_missing_endpoint_is_recorded(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint, parked=True)
    await connection.execute("DELETE FROM dispatcher.endpoints")
    assert list(await deliveries.record([result(pending, RETRIED)])) == [pending.id]


async def test_a_batch_with_every_kind_of_result_is_applied(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    good, bad, again, moved, gone = [
        await rows.delivery(connection, endpoint, attempt=n) for n in range(5)
    ]
    await connection.execute("UPDATE dispatcher.deliveries SET attempt = 9 WHERE id = $1", moved.id)
    await connection.execute("DELETE FROM dispatcher.deliveries WHERE id = $1", gone.id)
    applied = await deliveries.record(
        [
            result(good),
            result(bad, FAILED),
            result(again, RETRIED),
            result(moved),
            result(gone, RETRIED),
        ]
    )
    assert {number: at is None for number, at in applied.items()} == {
        good.id: True,
        bad.id: True,
        again.id: False,
    }
    left = {row["id"]: row["attempt"] for row in await rows.deliveries(connection)}
    assert left == {again.id: 3, moved.id: 9}
    assert sorted(await written(connection)) == [
        (good.id, 1, "ok", "DELIVERED"),
        (bad.id, 2, "timeout", "FAILED"),
        (again.id, 3, "http", None),
    ]


async def test_a_batch_recorded_twice_is_applied_once(
    connection: Connection, deliveries: Deliveries
) -> None:
    """The answer to the first was lost; whether it was committed is unknown."""
    endpoint = await rows.endpoint(connection)
    batch = [
        result(await rows.delivery(connection, endpoint), outcome)
        for outcome in (DELIVERED, RETRIED, FAILED)
    ]
    assert len(await deliveries.record(batch)) == 3
    before = (await written(connection), await rows.deliveries(connection))
    assert await deliveries.record(batch) == {}
    assert await deliveries.record_late(batch) == set()
    assert (await written(connection), await rows.deliveries(connection)) == before


@pytest.mark.parametrize(
    "changes", [{"response_headers": "\x00"}, {"response_headers": "\ud800"}, {"status": 70_000}]
)
async def test_a_refused_value_fails_its_batch_and_no_later_batch(
    connection: Connection, deliveries: Deliveries, changes: dict[str, object]
) -> None:
    endpoint = await rows.endpoint(connection)
    good = result(await rows.delivery(connection, endpoint))
    bad = replace(result(await rows.delivery(connection, endpoint)), **changes)  # type: ignore[arg-type]
    with pytest.raises(asyncpg.DataError):
        await deliveries.record([good, bad])
    assert await rows.attempts(connection) == []
    assert len(await deliveries.record([good])) == 1


# ── late ────────────────────────────────────────────────────────────────────────────────────────


async def late(connection: Connection, deliveries: Deliveries, *results: Result) -> set[int]:
    """Recorded as the recorder does it: first as usual, then as late."""
    assert await deliveries.record(results) == {}
    return await deliveries.record_late(results)


async def test_a_late_failure_is_on_record_and_changes_nothing(
    connection: Connection, deliveries: Deliveries
) -> None:
    pending = await rows.delivery(connection, await rows.endpoint(connection), attempt=2)
    before = await rows.deliveries(connection)
    superseded = result(replace(pending, attempt=0), FAILED)
    assert await late(connection, deliveries, superseded) == {pending.id}
    assert await rows.deliveries(connection) == before
    assert await written(connection) == [(pending.id, 1, "timeout", None)]
    assert await late(connection, deliveries, superseded) == set()
    assert len(await rows.attempts(connection)) == 1


async def test_a_late_2xx_ends_the_delivery_at_any_attempt_number(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint, attempt=4, due_in=600)
    superseded = result(replace(pending, attempt=1))
    assert await late(connection, deliveries, superseded) == {pending.id}
    assert await rows.deliveries(connection) == []
    (row,) = await rows.attempts(connection)
    assert (row["attempt"], row["state"], row["type"]) == (2, "DELIVERED", "user.created")
    assert (row["event_id"], row["endpoint_id"], row["environment_id"]) == (
        pending.event_id,
        endpoint,
        "env_default",
    )
    assert row["response_body"] == b"\x00\xff"


async def test_the_owner_of_a_delivery_ended_by_a_late_2xx_gets_a_change_notice(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    delivered, failed = [await rows.delivery(connection, endpoint, attempt=4) for _ in range(2)]
    await late(connection, deliveries, result(replace(delivered, attempt=1)))
    await late(connection, deliveries, result(replace(failed, attempt=1), FAILED))
    assert await noticed(connection) == [(delivered.id, endpoint, delivered.shard)]


async def test_the_owners_of_deliveries_recorded_for_others_get_change_notices(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    over, tried, changed = [
        await rows.delivery(connection, endpoint, shard=shard) for shard in (4, 5, 6)
    ]
    superseded = result(replace(changed, attempt=2))
    recorded = await deliveries.record_for_others(
        [result(over), result(tried, RETRIED), superseded]
    )
    assert recorded.keys() == {over.id, tried.id}
    assert await noticed(connection) == [(over.id, endpoint, 4), (tried.id, endpoint, 5)]


async def test_a_late_2xx_of_an_ended_delivery_writes_an_attempt_and_no_second_end(
    connection: Connection, deliveries: Deliveries
) -> None:
    pending = await rows.delivery(connection, await rows.endpoint(connection))
    await deliveries.record([result(pending, FAILED)])
    assert await late(connection, deliveries, result(pending)) == {pending.id}
    assert await written(connection) == [
        (pending.id, 1, "timeout", "FAILED"),
        (pending.id, 1, "ok", None),
    ]


async def test_a_2xx_recorded_again_does_not_end_a_delivery_retried_since(
    connection: Connection, deliveries: Deliveries
) -> None:
    """Recorded, its answer lost; then somebody had the delivery sent again, under its old name."""
    pending = await rows.delivery(connection, await rows.endpoint(connection))
    made = result(pending)
    await deliveries.record([made])
    await connection.execute(
        """INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base)
           VALUES ($1, $2, $3, 'env_default', 'user.created', now(), 1, 1, 1)""",
        pending.id,
        pending.event_id,
        pending.endpoint_id,
    )
    assert await late(connection, deliveries, made) == set()
    assert len(await rows.deliveries(connection)) == 1


async def test_late_results_of_a_batch_are_reported(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    one, two, three = [await rows.delivery(connection, endpoint, attempt=5) for _ in range(3)]
    known = result(replace(one, attempt=0), FAILED)
    await deliveries.record_late([known])
    batch = [known, result(replace(two, attempt=1)), result(replace(three, attempt=2), RETRIED)]
    assert await late(connection, deliveries, *batch) == {two.id, three.id}
    assert {row["id"] for row in await rows.deliveries(connection)} == {one.id, three.id}


# ── cancelling ──────────────────────────────────────────────────────────────────────────────────


async def test_deliveries_of_deleted_endpoints_end_with_an_attempt_that_says_why(
    connection: Connection, deliveries: Deliveries
) -> None:
    deleted = await rows.endpoint(connection, deleted=True)
    kept = await rows.delivery(connection, await rows.endpoint(connection, active=False))
    gone = await rows.delivery(connection, deleted, attempt=2, due_in=600, parked=True)
    assert await deliveries.cancel_expired_and_deleted(10, 0) == 1
    assert [row["id"] for row in await rows.deliveries(connection)] == [kept.id]
    (row,) = await rows.attempts(connection)
    assert (row["delivery_id"], row["event_id"], row["endpoint_id"]) == (
        gone.id,
        gone.event_id,
        deleted,
    )
    assert (row["attempt"], row["outcome"], row["state"]) == (2, "cancelled", "CANCELLED")
    assert (row["error"], row["duration_ms"], row["signed_at"]) == (
        "the endpoint was deleted",
        0,
        None,
    )
    assert await deliveries.cancel_expired_and_deleted(10, 0) == 0


async def test_cancelling_does_not_wait_for_a_delivery_that_is_being_recorded(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection, deleted=True)
    busy, idle = [await rows.delivery(connection, endpoint) for _ in range(2)]
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM dispatcher.deliveries WHERE id = $1 FOR UPDATE", busy.id
        )
        async with asyncio.timeout(30):
            assert await deliveries.cancel_expired_and_deleted(10, 0) == 1
    assert [row["id"] for row in await rows.deliveries(connection)] == [busy.id]
    assert [row["delivery_id"] for row in await rows.attempts(connection)] == [idle.id]


async def test_deliveries_below_a_bound_expire_oldest_first_some_at_a_time(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint) for _ in range(6)]
    assert await deliveries.cancel_expired_and_deleted(2, made[5].id) == 2
    assert [row["id"] for row in await rows.deliveries(connection)] == [d.id for d in made[2:]]
    assert await deliveries.cancel_expired_and_deleted(9, made[5].id) == 3
    errors = {row["error"] for row in await rows.attempts(connection)}
    assert errors == {"expired: the event is about to be dropped by retention"}


async def test_an_expired_delivery_of_a_deleted_endpoint_ends_once(
    connection: Connection, deliveries: Deliveries
) -> None:
    doomed = await rows.delivery(connection, await rows.endpoint(connection, deleted=True))
    assert await deliveries.cancel_expired_and_deleted(10, doomed.id + 1) == 1
    assert len(await rows.attempts(connection)) == 1


async def test_a_result_of_a_delivery_cancelled_during_its_attempt_is_kept(
    connection: Connection, deliveries: Deliveries
) -> None:
    under_way = await rows.delivery(connection, await rows.endpoint(connection, deleted=True))
    await deliveries.cancel_expired_and_deleted(10, 0)
    await late(connection, deliveries, result(under_way))
    assert [(n, outcome, state) for _, n, outcome, state in await written(connection)] == [
        (0, "cancelled", "CANCELLED"),
        (1, "ok", None),
    ]


async def noticed(connection: Connection) -> list[tuple[int, UUID, int]]:
    """Return delivery, endpoint and shard of each change notice."""
    notices = await connection.fetch(
        "SELECT delivery_id, endpoint_id, shard FROM dispatcher.change_notices ORDER BY delivery_id"
    )
    return [tuple(row) for row in notices]


async def test_the_owner_of_an_expired_delivery_gets_a_change_notice(
    connection: Connection, session: Session
) -> None:
    plain = await rows.endpoint(connection, "*")
    ordered = await rows.endpoint(connection, "*", home=5)
    deleted = await rows.endpoint(connection, deleted=True)
    held = await rows.delivery(connection, plain, shard=4)
    parked = await rows.delivery(connection, plain, parked=True)  # it is read as such
    in_order = await rows.delivery(connection, ordered, shard=5, parked=True)
    last = in_order.id
    await rows.delivery(connection, deleted)
    assert await Deliveries(session).cancel_expired_and_deleted(10, last + 1) == 4
    assert await noticed(connection) == [
        (held.id, plain, 4),
        (parked.id, plain, 3),
        (last, ordered, 5),
    ]
