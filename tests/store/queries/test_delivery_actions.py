"""What people do to one delivery, statement by statement."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.delivery_actions import DeliveryActions, DeliveryStateRow
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

ENVIRONMENT = "env_default"
HOUR = 3600.0


@pytest.fixture
def resends(session: Session) -> DeliveryActions:
    return DeliveryActions(session)


@pytest.fixture
def nudges(session: Session) -> ChangeNotices:
    return ChangeNotices(session)


async def ended(connection: Connection, session: Session, endpoint_id: UUID) -> Delivery:
    """A delivery that failed in its third attempt."""
    one = await rows.delivery(connection, endpoint_id, attempt=2)
    await Deliveries(session).record([rows.result(one, rows.FAILED)])
    return one


async def owe(resends: DeliveryActions, of: Delivery) -> bool:
    (row,) = await resends.find([of.id], ENVIRONMENT)
    return await resends.enqueue([row], ENVIRONMENT) == 1


async def find(
    resends: DeliveryActions, delivery_id: int, environment_id: str = ENVIRONMENT
) -> DeliveryStateRow | None:
    states = await resends.find([delivery_id], environment_id)
    return states[0] if states else None


# ── where it is ─────────────────────────────────────────────────────────────────────────────────


async def test_a_pending_delivery_is_found_with_its_endpoint(
    connection: Connection, resends: DeliveryActions
) -> None:
    endpoint = await rows.endpoint(connection)
    one = await rows.delivery(connection, endpoint, attempt=2)
    assert await find(resends, one.id) == {
        "id": one.id,
        "state": "PENDING",
        "status": "PENDING",
        "event_id": one.event_id,
        "endpoint_id": endpoint,
        "type": "user.created",
        "attempt": 2,
        "active": True,
        "deleted": False,
        "has_unapplied_notices": False,
    }


async def test_the_last_attempt_of_an_ended_delivery_counts_even_if_recorded_late(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    one = await ended(connection, session, await rows.endpoint(connection))
    row = await find(resends, one.id)
    assert row is not None
    assert (row["state"], row["attempt"]) == ("ENDED", 3)
    late = Delivery(one.id, one.event_id, one.endpoint_id, one.shard, 6, 0, 0.0)
    await Deliveries(session).record_late([rows.result(late)])
    row = await find(resends, one.id)
    assert row is not None
    assert row["attempt"] == 7


async def test_a_queued_retry_is_found_as_queued_and_then_as_pending(
    connection: Connection, session: Session, resends: DeliveryActions, owner: int
) -> None:
    one = await ended(connection, session, await rows.endpoint(connection))
    assert await owe(resends, one)
    row = await find(resends, one.id)
    assert row is not None
    assert (row["state"], row["attempt"]) == ("QUEUED", 3)
    await Inbox(session).fan_out(limit=10, shard=3, daemon=owner, saturated=[], after_id=0)
    row = await find(resends, one.id)
    assert row is not None
    assert (row["state"], row["attempt"]) == ("PENDING", 3)


async def test_a_delivery_in_quarantine_is_not_found_as_its_release_sends_it(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    endpoint, store = await rows.endpoint(connection), Deliveries(session)
    tried = await rows.delivery(connection, endpoint)
    await store.record([rows.result(tried, rows.RETRIED)])
    assert await store.quarantine(replace(tried, attempt=1), "refused")
    over = await ended(connection, session, endpoint)
    await rows.resent_and_quarantined(connection, store, over)
    assert await resends.find([tried.id, over.id], ENVIRONMENT) == []


async def test_a_retry_whose_fan_out_failed_is_quarantined_under_the_id_of_its_delivery(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    over = await ended(connection, session, await rows.endpoint(connection))
    assert await resends.enqueue(await resends.find([over.id], ENVIRONMENT), ENVIRONMENT) == 1
    queued = await connection.fetchval("SELECT id FROM dispatcher.inbox_directed")
    (moved,) = await Inbox(session).quarantine("fan_out_failed", "refused", queued)
    assert moved["id"] == over.id
    assert await resends.find([over.id], ENVIRONMENT) == []


async def test_an_unknown_delivery_or_one_of_another_environment_is_not_found(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    await rows.environment(connection, "env_other")
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint)
    over = await ended(connection, session, endpoint)
    assert await find(resends, pending.id, "env_other") is None
    assert await find(resends, over.id, "env_other") is None
    assert await find(resends, 1) is None


async def test_a_found_delivery_says_whether_its_endpoint_exists(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    one = await ended(
        connection, session, await rows.endpoint(connection, active=False, deleted=True)
    )
    row = await find(resends, one.id)
    assert row is not None
    assert (row["active"], row["deleted"]) == (False, True)


async def test_events_that_are_kept_stay_until_the_transaction_ends(
    connection: Connection, session: Session
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection))
    async with session.transaction() as opened:
        kept = await DeliveryActions(opened).keep_events([one.event_id, 1])
        assert set(kept) == {one.event_id}
        locked = await connection.fetchval(
            """SELECT count(*) FROM pg_locks l JOIN dispatcher.events v ON v.tableoid = l.relation
               WHERE v.id = $1 AND l.pid <> pg_backend_pid() AND l.mode = 'AccessShareLock'""",
            one.event_id,
        )
    assert locked == 1


# ── due now ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("parked", [False, True])
async def test_a_pending_delivery_becomes_due_with_a_change_notice(
    connection: Connection, resends: DeliveryActions, nudges: ChangeNotices, parked: bool
) -> None:
    endpoint = await rows.endpoint(connection)
    one = await rows.delivery(connection, endpoint, attempt=2, due_in=HOUR, parked=parked)
    assert await resends.expedite([one.id])
    (row,) = await rows.deliveries(connection)
    assert (row["attempt"], row["parked"]) == (2, False)
    assert row["next_at"].timestamp() < one.next_at - HOUR + 60
    (nudge,) = await nudges.waiting([one.shard], 0, 10)
    assert (nudge.delivery_id, nudge.endpoint_id, nudge.shard) == (one.id, endpoint, one.shard)
    assert nudge.delivery is not None
    assert nudge.delivery.next_at == pytest.approx(row["next_at"].timestamp())


async def test_a_waiting_change_keeps_its_place(
    connection: Connection, resends: DeliveryActions
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), due_in=-HOUR)
    await resends.expedite([one.id])
    (row,) = await rows.deliveries(connection)
    assert row["next_at"].timestamp() == pytest.approx(one.next_at)


async def test_an_expedited_delivery_of_an_ordered_endpoint_stays_parked(
    connection: Connection, resends: DeliveryActions
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection, home=3), parked=True)
    await resends.expedite([one.id])
    (row,) = await rows.deliveries(connection)
    assert row["parked"]


async def test_an_ended_delivery_is_not_expedited(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    one = await ended(connection, session, await rows.endpoint(connection))
    assert not await resends.expedite([one.id])
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.change_notices") == 0


# ── queued again──────────────────────────────────────────────────────────────────────────────────


async def test_an_ended_delivery_is_queued_once_with_its_id_and_a_new_schedule(
    connection: Connection, session: Session, resends: DeliveryActions, owner: int
) -> None:
    one = await ended(connection, session, await rows.endpoint(connection))
    assert [await owe(resends, one), await owe(resends, one)] == [True, False]
    done = await Inbox(session).fan_out(limit=10, shard=5, daemon=owner, saturated=[], after_id=0)
    (made,) = done.deliveries
    assert (made.id, made.event_id, made.attempt, made.base) == (one.id, one.event_id, 3, 3)
    assert not await owe(resends, one)


async def test_two_changes_of_a_delivery_run_one_after_the_other(
    connection: Connection, session: Session, other: Session
) -> None:
    one = await ended(connection, session, await rows.endpoint(connection))
    (pid,) = (await other.fetch("SELECT pg_backend_pid()"))[0]

    async def second() -> bool:
        async with other.transaction() as opened:
            await DeliveryActions(opened).lock([one.id])
            return await owe(DeliveryActions(opened), one)

    async with session.transaction() as opened:
        await DeliveryActions(opened).lock([one.id])
        assert await owe(DeliveryActions(opened), one)
        waiting = asyncio.create_task(second())
        await rows.waits_for_lock(connection, pid)
    assert not await waiting
    assert len(await rows.inbox(connection)) == 1


async def test_other_logins_cannot_delay_a_change(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    """Any login of the database can take advisory locks."""
    one = await ended(connection, session, await rows.endpoint(connection))
    await connection.execute("SELECT pg_advisory_lock($1)", one.id)
    await session.fetch("SET lock_timeout = '2s'")
    async with session.transaction() as opened:
        await DeliveryActions(opened).lock([one.id])
        assert await owe(DeliveryActions(opened), one)


async def test_changes_of_two_deliveries_with_adjacent_ids_do_not_wait_for_each_other(
    connection: Connection, session: Session, other: Session
) -> None:
    await other.fetch("SET lock_timeout = '2s'")
    async with session.transaction() as opened, other.transaction() as beside:
        await DeliveryActions(opened).lock([2**40])
        await DeliveryActions(beside).lock([2**40 + 1])


# ── cancelled ───────────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_delivery_gets_a_last_attempt_and_a_change_notice(
    connection: Connection, resends: DeliveryActions, nudges: ChangeNotices
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=2)
    assert await resends.cancel([one.id], ENVIRONMENT, "because")
    assert await rows.deliveries(connection) == []
    (row,) = await rows.attempts(connection)
    assert (row["delivery_id"], row["attempt"], row["state"]) == (one.id, 2, "CANCELLED")
    assert (row["outcome"], row["error"], row["type"]) == ("cancelled", "because", "user.created")
    (nudge,) = await nudges.waiting([one.shard], 0, 10)
    assert (nudge.delivery_id, nudge.delivery) == (one.id, None)
    assert not await resends.cancel([one.id], ENVIRONMENT, "because")


async def test_a_queued_retry_can_be_cancelled(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    one = await ended(connection, session, await rows.endpoint(connection))
    await owe(resends, one)
    assert await resends.cancel([one.id], ENVIRONMENT, "because")
    assert await rows.inbox(connection) == []
    assert [r["state"] for r in await rows.attempts(connection)] == ["FAILED", "CANCELLED"]


async def test_an_attempt_in_flight_at_the_cancellation_is_recorded_late(
    connection: Connection, session: Session, resends: DeliveryActions
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=2)
    await resends.cancel([one.id], ENVIRONMENT, "because")
    result = rows.result(one)
    deliveries = Deliveries(session)
    assert await deliveries.record([result]) == {}
    await deliveries.record_late([result])
    written = [(r["attempt"], r["state"]) for r in await rows.attempts(connection)]
    assert written == [(2, "CANCELLED"), (3, None)]


# ── nudges ──────────────────────────────────────────────────────────────────────────────────────


async def test_change_notices_are_read_in_order_for_the_given_shards(
    connection: Connection, resends: DeliveryActions, nudges: ChangeNotices
) -> None:
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint, shard=shard) for shard in (1, 2, 1)]
    for delivery in made:
        await resends.expedite([delivery.id])
    first, last = await nudges.waiting([1], 0, 10)
    assert (first.delivery_id, last.delivery_id) == (made[0].id, made[2].id)
    assert await nudges.waiting([1], 0, 1) == [first]
    assert await nudges.waiting([1], first.id, 10) == [last]
    await nudges.remove([first.id])
    assert await nudges.waiting([1], 0, 10) == [last]


async def test_a_second_change_writes_a_second_change_notice(
    connection: Connection, resends: DeliveryActions, nudges: ChangeNotices
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection))
    await resends.expedite([one.id])
    (first,) = await nudges.waiting([one.shard], 0, 10)
    await resends.cancel([one.id], ENVIRONMENT, "because")
    await nudges.remove([first.id])
    (second,) = await nudges.waiting([one.shard], 0, 10)
    assert second.delivery is None


async def test_a_change_notice_is_unapplied_while_its_shard_has_an_owner(
    connection: Connection, resends: DeliveryActions, nudges: ChangeNotices, owner: int
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection))
    await resends.cancel([one.id], ENVIRONMENT, "because")
    row = await find(resends, one.id)
    assert row is not None
    assert (row["has_unapplied_notices"], await nudges.unapplied(one.id)) == (True, 1)
    await connection.execute("UPDATE dispatcher.shards SET owner = NULL")
    row = await find(resends, one.id)
    assert row is not None
    assert (row["has_unapplied_notices"], await nudges.unapplied(one.id)) == (False, 0)
