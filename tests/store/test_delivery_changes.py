"""What people's retries and cancellations do to many deliveries at once."""

from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.store import delivery_changes
from dispatcher.store.delivery_changes import CANCELLED_BY_HAND, SentAgain
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

OURS = "env_default"
HOUR = 3600.0


async def ended(connection: Connection, session: Session, endpoint: UUID) -> Delivery:
    one = await rows.delivery(connection, endpoint, attempt=2)
    await Deliveries(session).record([rows.result(one, rows.FAILED)])
    return one


async def send_again(session: Session, *deliveries: Delivery) -> SentAgain:
    async with session.transaction() as opened:
        actions, ids = DeliveryActions(opened), [one.id for one in deliveries]
        await actions.lock(ids)
        return await delivery_changes.send_again(opened, OURS, await actions.find(ids, OURS))


async def test_each_delivery_is_sent_again_as_its_state_asks_or_refused_by_its_id(
    connection: Connection, session: Session
) -> None:
    active, disabled = (
        await rows.endpoint(connection),
        await rows.endpoint(connection, active=False),
    )
    pending = await rows.delivery(connection, active, due_in=HOUR)
    over, refused = [await ended(connection, session, endpoint) for endpoint in (active, disabled)]
    assert await send_again(session, pending, over, refused) == (2, {refused.id: "disabled"})
    assert await connection.fetchval("SELECT delivery_id FROM dispatcher.inbox") == over.id
    assert await connection.fetchval(
        "SELECT next_at <= now() FROM dispatcher.deliveries WHERE id = $1", pending.id
    )
    again = await send_again(session, over, refused)
    assert again == (1, {refused.id: "disabled"}), "one that is queued counts as done"
    assert len(await rows.inbox(connection)) == 1


async def test_pending_and_queued_deliveries_are_cancelled_and_ended_ones_are_not_counted(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint)
    queued, over = [await ended(connection, session, endpoint) for _ in range(2)]
    await send_again(session, queued)
    async with session.transaction() as opened:
        delivery_ids = [pending.id, queued.id, over.id]
        await DeliveryActions(opened).lock(delivery_ids)
        assert await delivery_changes.cancel(opened, OURS, delivery_ids) == 2
    attempts = await rows.attempts(connection)
    cancelled = {row["delivery_id"] for row in attempts if row["error"] == CANCELLED_BY_HAND}
    assert cancelled == {pending.id, queued.id}
