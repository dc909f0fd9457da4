"""Directed rows: for one endpoint, whatever it subscribes to, or under a delivery's own name."""

import pytest

from dispatcher.store.queries.inbox import FannedOut, Inbox
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows


async def fan_out(session: Session, owner: int) -> FannedOut:
    return await Inbox(session).fan_out(limit=100, shard=5, daemon=owner, saturated=[], after_id=0)


async def past_event(connection: Connection, type: str = "user.created") -> int:
    """An event that was fanned out before."""
    event = await rows.event(connection, type)
    await connection.execute("DELETE FROM dispatcher.inbox")
    return event


async def test_a_directed_row_makes_a_delivery_for_its_endpoint_alone(
    connection: Connection, session: Session, owner: int
) -> None:
    await rows.endpoint(connection, "*")
    endpoint = await rows.endpoint(connection)
    event = await past_event(connection)
    await rows.directed(connection, event, endpoint)
    done = await fan_out(session, owner)
    assert (done.picked, done.made) == (1, 1)
    (made,) = done.deliveries
    assert (made.event_id, made.endpoint_id, made.attempt, made.base) == (event, endpoint, 0, 0)
    assert made.id > event


async def test_an_event_is_entered_in_one_index_of_the_inbox(connection: Connection) -> None:
    """Each other index would make the INSERT of every event longer: those of directed rows are apart."""
    indexes = await connection.fetchval(
        "SELECT count(*) FROM pg_index WHERE indrelid = 'dispatcher.inbox'::regclass"
    )
    assert indexes == 1
    await rows.event(connection)
    count = await connection.fetchval("SELECT count(*) FROM ONLY dispatcher.inbox")
    assert count == 1


async def test_a_directed_row_beside_a_plain_one_of_the_same_event_is_a_delivery_of_its_own(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    event = await rows.event(connection)
    await rows.directed(connection, event, endpoint)
    assert (await fan_out(session, owner)).made == 2
    assert await rows.queued(connection) == [(event, endpoint)] * 2


async def test_a_retried_delivery_keeps_its_id_and_attempt_number(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection)
    event = await past_event(connection)
    await rows.directed(connection, event, endpoint, delivery_id=1234, attempt=6)
    (made,) = (await fan_out(session, owner)).deliveries
    assert (made.id, made.attempt, made.base) == (1234, 6, 6)
    (row,) = await rows.deliveries(connection)
    assert (row["id"], row["attempt"], row["base"], row["event_id"]) == (1234, 6, 6, event)


async def test_a_delivery_that_is_pending_is_not_made_a_second_time(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint, attempt=2, due_in=60)
    await rows.directed(connection, pending.event_id, endpoint, delivery_id=pending.id, attempt=1)
    done = await fan_out(session, owner)
    assert (done.picked, done.made, await rows.inbox(connection)) == (1, 0, [])
    (row,) = await rows.deliveries(connection)
    assert (row["id"], row["attempt"], row["shard"]) == (pending.id, 2, pending.shard)


@pytest.mark.parametrize(
    ("active", "deleted", "again", "made"),
    [
        (False, False, True, 1),  # held until the endpoint is active
        (False, False, False, 0),
        (False, True, True, 0),
        (False, True, False, 0),
    ],
)
async def test_a_disabled_endpoint_gets_only_retries_from_directed_rows(
    connection: Connection,
    session: Session,
    owner: int,
    active: bool,
    deleted: bool,
    again: bool,
    made: int,
) -> None:
    endpoint = await rows.endpoint(connection, active=active, deleted=deleted)
    event = await past_event(connection)
    await rows.directed(connection, event, endpoint, delivery_id=99 if again else None)
    done = await fan_out(session, owner)
    assert (done.picked, done.made, await rows.inbox(connection)) == (1, made, [])


async def test_a_directed_row_of_an_ordered_endpoint_is_parked_in_its_home_shard(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, home=41)
    await rows.directed(connection, await past_event(connection), endpoint)
    done = await fan_out(session, owner)
    assert (done.deliveries, done.parked) == ([], {endpoint})
    (row,) = await rows.deliveries(connection)
    assert (row["shard"], row["parked"]) == (41, True)
