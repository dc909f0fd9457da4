"""A webhook is deleted while a delivery to it is put into the inbox: the delivery ends on record."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.core.model import Delivery
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.delivery_actions import DeliveryActions
from dispatcher.services.quarantine import Quarantine
from dispatcher.services.webhooks.webhook_rules import WebhookRules
from dispatcher.services.webhooks.webhooks import Webhooks
from dispatcher.store.pool import Pool
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Queryable
from dispatcher.transport.addresses.egress import Guard
from tests.conftest import Connection
from tests.store import rows

OURS = "env_default"
WAITING = """SELECT EXISTS (SELECT 1 FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock')"""
Given = Callable[[Connection, Pool], Awaitable[Delivery]]
Enqueue = Callable[[Queryable, Actor, Delivery], Awaitable[object]]


def webhooks(session: Queryable, actor: Actor) -> Webhooks:
    return Webhooks(session, actor, cipher=None, rules=WebhookRules(Guard(()), (), ()))


async def retry(session: Queryable, actor: Actor, one: Delivery) -> None:
    await DeliveryActions(session, actor).retry(OURS, ids.delivery_name(one.id))


async def release(session: Queryable, actor: Actor, one: Delivery) -> None:
    await Quarantine(session, actor).release(OURS, f"q_{one.id}")


async def send_test(session: Queryable, actor: Actor, one: Delivery) -> None:
    await webhooks(session, actor).test(one.endpoint_id, OURS)


async def delete(pool: Pool, actor: Actor, webhook_id: UUID) -> None:
    async with pool.of("deletion").transaction() as session:
        await webhooks(session, actor).delete(webhook_id)


async def ended(connection: Connection, pool: Pool) -> Delivery:
    """A delivery that failed."""
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=2)
    async with pool.session("") as session:
        await Deliveries(session).record([rows.result(one, rows.FAILED)])
    return one


async def quarantined(connection: Connection, pool: Pool) -> Delivery:
    """A delivery whose result the database refused."""
    one = await rows.delivery(connection, await rows.endpoint(connection), attempt=2)
    async with pool.session("") as session:
        assert await Deliveries(session).quarantine(one, "refused")
    return one


@pytest.mark.parametrize(
    ("precondition", "enqueue"), [(ended, retry), (ended, send_test), (quarantined, release)]
)
async def test_a_deletion_ends_what_was_put_into_the_inbox_at_the_same_time(
    connection: Connection,
    pool: Pool,
    actor: Actor,
    precondition: Given,
    enqueue: Enqueue,
) -> None:
    one = await precondition(connection, pool)
    async with pool.transaction() as session:
        await enqueue(session, actor, one)
        deletion = asyncio.create_task(delete(pool, actor, one.endpoint_id))
        await rows.until_true(connection, WAITING)
    await deletion
    assert await rows.inbox(connection) == []
    last = (await rows.attempts(connection))[-1]
    assert (last["state"], last["error"]) == ("CANCELLED", "the endpoint was deleted")


@pytest.mark.parametrize(
    ("precondition", "enqueue", "refusal"),
    [
        (ended, retry, ConflictError),
        (ended, send_test, NotFoundError),
        (quarantined, release, ConflictError),
    ],
)
async def test_nothing_is_put_into_the_inbox_of_a_webhook_that_is_being_deleted(
    connection: Connection,
    pool: Pool,
    actor: Actor,
    precondition: Given,
    enqueue: Enqueue,
    refusal: type[Exception],
) -> None:
    one = await precondition(connection, pool)

    async def attempt() -> None:
        async with pool.transaction() as session:
            await enqueue(session, actor, one)

    async with pool.of("deletion").transaction() as session:
        await webhooks(session, actor).delete(one.endpoint_id)
        late = asyncio.create_task(attempt())
        await rows.until_true(connection, WAITING)
    with pytest.raises(refusal):
        await late
    assert await rows.inbox(connection) == []
