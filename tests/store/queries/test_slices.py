"""An event for more endpoints than one statement may take, and one that nothing can fan out."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from dispatcher.store.queries.inbox import FannedOut, Inbox
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows


async def take_slice(
    session: Session, owner: int, *, limit: int = 3, saturated: Sequence[UUID] = ()
) -> FannedOut:
    return await Inbox(session).fan_out_slice(
        limit=limit, shard=5, daemon=owner, saturated=saturated
    )


async def test_slices_reach_every_endpoint_exactly_once_in_endpoint_order(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoints = sorted([await rows.endpoint(connection, "*", "user.*") for _ in range(8)])
    event = await rows.event(connection)
    taken = [await take_slice(session, owner) for _ in range(3)]
    assert [(done.picked, done.made, done.last_picked) for done in taken] == [
        (0, 3, None),
        (0, 3, None),
        (1, 2, event),
    ]
    assert [{delivery.endpoint_id for delivery in done.deliveries} for done in taken] == [
        set(endpoints[:3]),
        set(endpoints[3:6]),
        set(endpoints[6:]),
    ]
    assert await rows.queued(connection) == [(event, endpoint) for endpoint in endpoints]
    assert await rows.inbox(connection) == []
    assert await take_slice(session, owner) == FannedOut(0, None, 0, [], set())


async def test_a_number_of_endpoints_that_slices_divide_takes_one_slice_more(
    connection: Connection, session: Session, owner: int
) -> None:
    for _ in range(3):
        await rows.endpoint(connection, "*")
    await rows.event(connection)
    taken = [await take_slice(session, owner) for _ in range(2)]
    assert [(done.picked, done.made) for done in taken] == [(0, 3), (1, 0)]


async def test_inactive_endpoints_do_not_end_a_slice(
    connection: Connection, session: Session, owner: int
) -> None:
    idle = [UUID(int=n) for n in range(1, 6)]
    for id_ in idle:
        await rows.endpoint(connection, "*", active=False, id=id_)
    active = await rows.endpoint(connection, "*", id=UUID(int=6))
    event = await rows.event(connection)
    taken = [await take_slice(session, owner) for _ in range(3)]
    assert [(done.picked, done.made) for done in taken] == [(0, 0), (0, 1), (1, 0)]
    assert await rows.queued(connection) == [(event, active)]


async def test_a_whole_statement_finishes_an_event_begun_in_slices(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoints = sorted([await rows.endpoint(connection, "*") for _ in range(5)])
    event = await rows.event(connection)
    await take_slice(session, owner)
    done = await Inbox(session).fan_out(limit=9, shard=5, daemon=owner, saturated=[], after_id=0)
    assert (done.picked, done.made) == (1, 2)
    assert await rows.queued(connection) == [(event, endpoint) for endpoint in endpoints]


async def test_two_sessions_take_slices_of_two_events(
    connection: Connection, session: Session, other: Session, owner: int
) -> None:
    endpoints = sorted([await rows.endpoint(connection, "*") for _ in range(7)])
    events = [await rows.event(connection) for _ in range(2)]
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM dispatcher.inbox WHERE id = $1 FOR UPDATE", events[0]
        )
        done = await take_slice(session, owner)
        assert {delivery.event_id for delivery in done.deliveries} == {events[1]}
    while await rows.inbox(connection):
        await take_slice(session, owner)
        await take_slice(other, owner)
    assert Counter(await rows.queued(connection)) == Counter(
        (event, endpoint) for event in events for endpoint in endpoints
    )


async def test_slices_park_as_the_whole_statement_does(
    connection: Connection, session: Session, owner: int
) -> None:
    full = await rows.endpoint(connection, "*")
    ordered = await rows.endpoint(connection, "*", home=41)
    await rows.event(connection)
    done = await take_slice(session, owner, limit=10, saturated=[full])
    assert (done.picked, done.made, done.deliveries, done.parked) == (1, 2, [], {full, ordered})
    shards = {row["endpoint_id"]: row["shard"] for row in await rows.deliveries(connection)}
    assert shards == {full: 0, ordered: 41}  # both at home, where one range holds them


async def test_directed_rows_and_foreign_shards_are_left_alone(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    event = await rows.event(connection)
    assert (await take_slice(session, owner + 1)).made == 0
    await connection.execute("DELETE FROM dispatcher.inbox")
    directed = await rows.directed(connection, event, endpoint)
    assert (await take_slice(session, owner)).made == 0
    assert await rows.inbox(connection) == [directed]


# ── quarantine ──────────────────────────────────────────────────────────────────────────────────


async def test_the_oldest_row_is_quarantined_with_the_reason(
    connection: Connection, session: Session
) -> None:
    events = [await rows.event(connection) for _ in range(2)]
    put = await Inbox(session).quarantine("fan_out_failed", "it took too long", events[0])
    assert put == [
        {
            "id": events[0],
            "event_id": events[0],
            "environment_id": "env_default",
            "type": "user.created",
        }
    ]
    assert await rows.inbox(connection) == events[1:]
    row = await connection.fetchrow("SELECT * FROM dispatcher.quarantine")
    assert row is not None
    assert (row["id"], row["reason"], row["detail"]) == (
        events[0],
        "fan_out_failed",
        "it took too long",
    )


async def test_a_directed_row_keeps_its_direction_in_quarantine_under_the_id_of_its_delivery(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection)
    event = await rows.event(connection)
    await connection.execute("DELETE FROM dispatcher.inbox")
    directed = await rows.directed(connection, event, endpoint, delivery_id=12, attempt=3)
    await Inbox(session).quarantine("r", "d", directed)
    row = await connection.fetchrow("SELECT * FROM dispatcher.quarantine")
    assert row is not None
    assert (row["id"], row["event_id"], row["endpoint_id"], row["delivery_id"], row["attempt"]) == (
        12,
        event,
        endpoint,
        12,
        3,
    )


async def test_an_event_quarantined_halfway_continues_where_it_stopped(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoints = sorted([await rows.endpoint(connection, "*") for _ in range(5)])
    event = await rows.event(connection)
    await take_slice(session, owner)
    await Inbox(session).quarantine("r", "d", event)
    reached = await connection.fetchval("SELECT after_endpoint FROM dispatcher.quarantine")
    assert reached == endpoints[2]


async def test_a_row_another_session_holds_is_not_quarantined(
    connection: Connection, session: Session
) -> None:
    event = await rows.event(connection)
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM dispatcher.inbox FOR UPDATE")
        assert await Inbox(session).quarantine("r", "d", event) == []
    assert len(await rows.inbox(connection)) == 1
