"""One delivery is sent again, or cancelled: what a person is told."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.core.model import Delivery
from dispatcher.core.retry_refusal import RETRYABLE_ATTEMPTS_LIMIT
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.delivery_actions import DeliveryActions
from dispatcher.services.propagation import wait_until_acknowledged
from dispatcher.store.pool import Pool
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows

ENVIRONMENT = "env_default"
HOUR = 3600.0
Wish = Callable[[str, str], Awaitable[int]]


@pytest.fixture
def retry(pool: Pool, actor: Actor) -> Wish:
    async def wish(environment_id: str, delivery_name: str) -> int:
        async with pool.transaction() as session:
            return await DeliveryActions(session, actor).retry(environment_id, delivery_name)

    return wish


@pytest.fixture
def cancel(pool: Pool, actor: Actor) -> Wish:
    async def wish(environment_id: str, delivery_name: str) -> int:
        async with pool.transaction() as session:
            return await DeliveryActions(session, actor).cancel(environment_id, delivery_name)

    return wish


@pytest.fixture
async def owned(connection: Connection) -> None:
    """A daemon owns every shard, but does not act."""
    await connection.execute("UPDATE dispatcher.shards SET owner = 7")


async def failed(
    connection: Connection, dsn: str, *, active: bool = True, deleted: bool = False
) -> Delivery:
    """A delivery that ended in its third attempt."""
    endpoint = await rows.endpoint(connection, active=active, deleted=deleted)
    one = await rows.delivery(connection, endpoint, attempt=2)
    session = Session(dsn, "test")
    await Deliveries(session).record([rows.result(one, rows.FAILED)])
    await session.close()
    return one


def name(of: Delivery) -> str:
    return ids.delivery_name(of.id)


async def actions(connection: Connection) -> list[tuple[str, str, str]]:
    entries = await connection.fetch("SELECT * FROM dispatcher.audit ORDER BY id")
    return [(row["action"], row["subject"], row["environment_id"]) for row in entries]


# ── retry ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_retried_pending_delivery_is_due_now(connection: Connection, retry: Wish) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), due_in=HOUR)
    assert await retry(ENVIRONMENT, name(one)) == one.id
    assert await connection.fetchval("SELECT next_at <= now() FROM dispatcher.deliveries")
    assert await actions(connection) == [("delivery.retry", name(one), ENVIRONMENT)]


async def test_a_delivery_with_thirty_thousand_attempts_cannot_be_retried(
    connection: Connection, dsn: str, retry: Wish
) -> None:
    pending = await rows.delivery(
        connection, await rows.endpoint(connection), attempt=RETRYABLE_ATTEMPTS_LIMIT, due_in=HOUR
    )
    over = await failed(connection, dsn)
    await connection.execute(
        "UPDATE dispatcher.attempts SET attempt = $1", RETRYABLE_ATTEMPTS_LIMIT
    )
    for one in (pending, over):
        with pytest.raises(
            ConflictError, match=r"the most that one may have\. Emit the event again"
        ):
            await retry(ENVIRONMENT, name(one))
    assert await rows.inbox(connection) == []


async def test_an_ended_delivery_is_retried_once(
    connection: Connection, dsn: str, retry: Wish
) -> None:
    one = await failed(connection, dsn)
    assert await retry(ENVIRONMENT, name(one)) == one.id
    assert await retry(ENVIRONMENT, name(one)) == one.id
    (row,) = await connection.fetch("SELECT * FROM dispatcher.inbox")
    assert (row["delivery_id"], row["attempt"], row["endpoint_id"]) == (one.id, 3, one.endpoint_id)


@pytest.mark.parametrize(
    ("deleted", "reason"),
    [
        (True, "The webhook was deleted"),
        (False, r"The webhook is disabled\. Enable it"),
    ],
)
async def test_a_delivery_of_a_disabled_webhook_cannot_be_retried(
    connection: Connection, dsn: str, retry: Wish, deleted: bool, reason: str
) -> None:
    over = await failed(connection, dsn, active=False, deleted=deleted)
    pending = await rows.delivery(connection, over.endpoint_id)
    for one in (pending, over):
        with pytest.raises(ConflictError, match=reason):
            await retry(ENVIRONMENT, name(one))
    assert await rows.inbox(connection) == []
    assert await actions(connection) == []


async def test_an_event_that_is_no_longer_kept_cannot_be_sent_again(
    connection: Connection, dsn: str, retry: Wish
) -> None:
    one = await failed(connection, dsn)
    await connection.execute("DELETE FROM dispatcher.events")
    with pytest.raises(ConflictError, match="The event is no longer kept"):
        await retry(ENVIRONMENT, name(one))


async def test_a_cancelled_delivery_cannot_be_retried_during_an_attempt(
    connection: Connection, retry: Wish, cancel: Wish, owned: None
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection))
    await cancel(ENVIRONMENT, name(one))
    with pytest.raises(ConflictError, match="may be in progress"):
        await retry(ENVIRONMENT, name(one))
    await connection.execute("DELETE FROM dispatcher.change_notices")  # as its owner does
    await retry(ENVIRONMENT, name(one))
    assert len(await rows.inbox(connection)) == 1


# ── cancel ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_pending_delivery_ends_with_its_reason(
    connection: Connection, cancel: Wish
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=1)
    assert await cancel(ENVIRONMENT, name(one)) == one.id
    (row,) = await rows.attempts(connection)
    assert (row["state"], row["error"]) == ("CANCELLED", "cancelled by hand")
    assert await actions(connection) == [("delivery.cancel", name(one), ENVIRONMENT)]


async def test_a_delivery_that_leaves_the_inbox_meanwhile_is_cancelled(
    connection: Connection, dsn: str, retry: Wish, cancel: Wish
) -> None:
    one = await failed(connection, dsn)
    await retry(ENVIRONMENT, name(one))
    async with connected(dsn) as fanout:
        async with fanout.transaction():
            await rows.leave_inbox(fanout)
            cancelling = asyncio.ensure_future(cancel(ENVIRONMENT, name(one)))
            await rows.any_waits_for_lock(connection)
        assert await cancelling == one.id
    assert (await rows.attempts(connection))[-1]["state"] == "CANCELLED"
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.deliveries") == 0


async def test_an_ended_delivery_cannot_be_cancelled(
    connection: Connection, dsn: str, cancel: Wish
) -> None:
    one = await failed(connection, dsn)
    with pytest.raises(ConflictError, match=f"has ended: {name(one)} is failed"):
        await cancel(ENVIRONMENT, name(one))
    assert len(await rows.attempts(connection)) == 1


# ── both ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_sent_again", [False, True])
async def test_a_delivery_in_quarantine_is_refused_with_the_reason_and_the_entry(
    connection: Connection, pool: Pool, dsn: str, retry: Wish, cancel: Wish, is_sent_again: bool
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=1)
    async with pool.session("") as session:
        await Deliveries(session).quarantine(one, "the database refuses it")
    if is_sent_again:  # an end of it is on record from before
        await connection.execute(
            """INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt,
                                                started_at, outcome, duration_ms, state)
               SELECT id, event_id, endpoint_id, environment_id, type, 1, now(), 'http', 1, 'FAILED'
               FROM dispatcher.quarantine"""
        )
    message = f"in quarantine: the database refuses it. Release or discard q_{one.id} instead."
    for wish in (retry, cancel):
        with pytest.raises(ConflictError, match=message):
            await wish(ENVIRONMENT, name(one))
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.quarantine") == 1
    assert await actions(connection) == []


@pytest.mark.parametrize("delivery_id", ["dlv_1", "dlv_0x1", "evt_1", "", "dlv_" + "9" * 19])
async def test_an_invalid_delivery_id_is_unknown(
    retry: Wish, cancel: Wish, delivery_id: str
) -> None:
    for wish in (retry, cancel):
        with pytest.raises(NotFoundError) as raised:
            await wish(ENVIRONMENT, delivery_id)
        assert "quarantine" not in str(raised.value)


async def test_a_delivery_of_another_environment_is_unknown(
    connection: Connection, dsn: str, retry: Wish, cancel: Wish
) -> None:
    await rows.environment(connection, "env_other")
    pending = await rows.delivery(connection, await rows.endpoint(connection), due_in=HOUR)
    over = await failed(connection, dsn)
    for one in (pending, over):
        for wish in (retry, cancel):
            with pytest.raises(NotFoundError, match=f"There is no delivery '{name(one)}'"):
                await wish("env_other", name(one))
    assert len(await rows.deliveries(connection)) == 1
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.change_notices") == 0


# ── applied ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_change_is_applied_when_its_owner_confirms_it_or_if_there_is_no_owner(
    connection: Connection, pool: Pool, cancel: Wish
) -> None:
    one = await rows.delivery(connection, await rows.endpoint(connection))
    await cancel(ENVIRONMENT, name(one))
    assert await wait_until_acknowledged(pool, one.id)
    await connection.execute("UPDATE dispatcher.shards SET owner = 7")
    assert not await wait_until_acknowledged(pool, one.id, 0.1)
    await connection.execute("DELETE FROM dispatcher.change_notices")
    assert await wait_until_acknowledged(pool, one.id)
