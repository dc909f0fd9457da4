"""After the database's clock was set back: what was scheduled before comes as much earlier, once."""

import pytest

from dispatcher.core.model import ClockSetBack
from dispatcher.engine.upkeep.rescheduler import Rescheduler
from dispatcher.store.queries.bulk_actions import BulkActions
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.replays import Replays
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

HOUR = 3_600.0
SHARD = 3


async def set_back(connection: Connection, *shards: int, seconds: float = HOUR) -> ClockSetBack:
    """A step noticed now: what is committed by now was written before it."""
    horizon = await connection.fetchval(
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text FROM pg_current_xact_id()"
    )
    return ClockSetBack(seconds, frozenset(shards or (SHARD,)), horizon)


async def due_in(connection: Connection) -> dict[int, int]:
    """In how many minutes each delivery is due, rounded."""
    records = await connection.fetch(
        "SELECT id, round(extract(epoch FROM next_at - now()) / 60)::int AS minutes"
        " FROM dispatcher.deliveries"
    )
    return {row["id"]: row["minutes"] for row in records}


@pytest.fixture
def finished() -> list[bool]:
    return []


@pytest.fixture
def reschedule(session: Session, finished: list[bool]) -> Rescheduler:
    return Rescheduler(session, on_moved=lambda shards: finished.append(True))


async def run(reschedule: Rescheduler, finished: list[bool]) -> None:
    for _ in range(50):
        if finished:
            return
        assert await reschedule.run_once() == 0.0
    raise AssertionError("it does not come to an end")


async def test_later_deliveries_are_moved_earlier_and_due_ones_stay(
    connection: Connection, reschedule: Rescheduler, finished: list[bool]
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    minutes = [-10, 5, 61, 90, 24 * 60]
    made = [
        (await rows.delivery(connection, endpoint, attempt=1, due_in=60.0 * m)).id for m in minutes
    ]
    parked = await rows.delivery(connection, endpoint, due_in=30 * 60, parked=True)
    elsewhere = await rows.delivery(connection, endpoint, due_in=90 * 60, shard=SHARD + 1)
    reschedule.set_back(await set_back(connection))
    assert reschedule.wake.is_set()
    await run(reschedule, finished)
    assert await due_in(connection) == {
        **dict(zip(made, [-10, -55, 1, 30, 23 * 60], strict=True)),
        parked.id: -30,
        elsewhere.id: 90,
    }
    assert await reschedule.run_once() > 1, "nothing more to do"


async def test_rows_written_after_the_step_are_not_moved(
    connection: Connection, reschedule: Rescheduler, finished: list[bool]
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    before = await rows.delivery(connection, endpoint, due_in=90 * 60)
    retried = await rows.delivery(connection, endpoint, due_in=90 * 60)
    step = await set_back(connection)
    after = await rows.delivery(connection, endpoint, due_in=90 * 60)
    await connection.execute(
        "UPDATE dispatcher.deliveries SET next_at = now() + interval '2 h' WHERE id = $1",
        retried.id,
    )
    reschedule.set_back(step)
    await run(reschedule, finished)
    assert await due_in(connection) == {before.id: 30, retried.id: 120, after.id: 90}


async def test_each_row_is_moved_once_in_any_number_of_parts(
    connection: Connection,
    reschedule: Rescheduler,
    finished: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dispatcher.engine.upkeep.rescheduler.ROWS_LIMIT", 7)
    endpoint = await rows.endpoint(connection, "*")
    for n in range(40):
        await rows.delivery(connection, endpoint, due_in=300 * 60, shard=n % 2)
    reschedule.set_back(await set_back(connection, 0, 1))
    await run(reschedule, finished)
    assert set((await due_in(connection)).values()) == {240}


async def test_replays_and_bulk_actions_go_on_at_once(
    connection: Connection, session: Session, reschedule: Rescheduler, finished: list[bool]
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await connection.execute(
        "INSERT INTO dispatcher.replays"
        " (id, environment_id, endpoint_id, since, until, missed, position, next_at)"
        " VALUES (1, 'env_default', $1, now(), now(), true, 0, now() + interval '1 h')",
        endpoint,
    )
    await connection.execute(
        "INSERT INTO dispatcher.bulk_actions"
        " (id, environment_id, action, criteria, position, next_at)"
        " VALUES (1, 'env_default', 'retry', '{}', 5, now() + interval '1 h')"
    )
    stores = Replays(session), BulkActions(session)
    assert min([await store.next() or 0.0 for store in stores]) > HOUR - 60
    reschedule.set_back(await set_back(connection))
    await run(reschedule, finished)
    assert max([await store.next() or 1.0 for store in stores]) <= 0.0


async def test_a_second_step_of_the_clock_moves_rows_again(
    connection: Connection, reschedule: Rescheduler, finished: list[bool]
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await rows.delivery(connection, endpoint, due_in=300 * 60)
    for _ in range(2):
        finished.clear()
        reschedule.set_back(await set_back(connection))
        await run(reschedule, finished)
    assert list((await due_in(connection)).values()) == [180]


async def test_a_row_being_recorded_is_not_waited_for(
    connection: Connection, reschedule: Rescheduler, finished: list[bool]
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    one = await rows.delivery(connection, endpoint, due_in=90 * 60)
    step = await set_back(connection)
    async with connection.transaction():
        await connection.execute(
            "UPDATE dispatcher.deliveries SET next_at = now() + interval '10 min' WHERE id = $1",
            one.id,
        )
        reschedule.set_back(step)
        await run(reschedule, finished)
    assert await due_in(connection) == {one.id: 10}


async def test_rests_asked_for_by_receivers_end_earlier_too(
    connection: Connection, session: Session, reschedule: Rescheduler, finished: list[bool]
) -> None:
    resting, elsewhere, over = [
        await rows.endpoint(connection, "*", home=home) for home in (SHARD, SHARD + 1, SHARD)
    ]
    for endpoint, seconds in ((resting, 90 * 60.0), (elsewhere, 90 * 60.0), (over, -60.0)):
        await Endpoints(session).rest(endpoint, seconds)
    version = await connection.fetchval("SELECT version FROM dispatcher.endpoint_version")
    reschedule.set_back(await set_back(connection))
    await run(reschedule, finished)
    records = await connection.fetch(
        "SELECT endpoint_id, round(extract(epoch FROM resting_until - now()) / 60)::int AS minutes"
        " FROM dispatcher.endpoint_health"
    )
    rests = {row["endpoint_id"]: row["minutes"] for row in records}
    assert rests == {resting: 30, elsewhere: 90, over: -1}
    seen_by = await connection.fetch(
        "SELECT id FROM dispatcher.endpoints WHERE version > $1", version
    )
    assert [row["id"] for row in seen_by] == [resting], "its daemons read it again"


async def test_without_a_rest_in_force_no_version_changes(
    connection: Connection, reschedule: Rescheduler, finished: list[bool]
) -> None:
    await rows.endpoint(connection, "*", home=SHARD)
    reschedule.set_back(await set_back(connection))
    await run(reschedule, finished)
    assert await connection.fetchval("SELECT version FROM dispatcher.endpoint_version") == 0
