"""Reading pending deliveries back: those due by shard, the parked ones by endpoint."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dispatcher.core.model import Delivery
from dispatcher.store.queries.deliveries import Deliveries, Range
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

EVER = float("-inf")


@pytest.fixture
def deliveries(session: Session) -> Deliveries:
    return Deliveries(session)


def ids(batch: Sequence[Delivery]) -> list[int]:
    return [delivery.id for delivery in batch]


async def now(connection: Connection) -> float:
    moment: float = await connection.fetchval(
        "SELECT extract(epoch FROM clock_timestamp())::float8"
    )
    return moment


async def minutes(connection: Connection) -> dict[int, int]:
    """In how many minutes each delivery is due, rounded."""
    records = await connection.fetch(
        "SELECT id, round(extract(epoch FROM next_at - now()) / 60)::int AS minutes"
        " FROM dispatcher.deliveries"
    )
    return {row["id"]: row["minutes"] for row in records}


async def flags(connection: Connection) -> dict[int, bool]:
    return {row["id"]: row["parked"] for row in await rows.deliveries(connection)}


# ── due ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_due_delivery_comes_back_as_it_was_written(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    written = await rows.delivery(connection, endpoint, shard=9, attempt=4, base=2, due_in=-3)
    assert await deliveries.due([Range(9, EVER, 10)], await now(connection)) == [written]


async def test_a_range_includes_its_start_and_excludes_its_end(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint, due_in=n) for n in (10, 20, 30)]
    first, _, last = (delivery.next_at for delivery in made)
    assert ids(await deliveries.due([Range(3, first, 10)], last)) == ids(made[:2])
    assert ids(await deliveries.due([Range(3, first + 1e-6, 10)], last + 1e-6)) == ids(made[1:])


async def test_reading_on_includes_deliveries_due_at_the_last_time(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint) for _ in range(40)]
    await connection.execute(
        """UPDATE dispatcher.deliveries d SET next_at = now() + n % 7 * interval '1.000001 s'
           FROM (SELECT id, row_number() OVER () AS n FROM dispatcher.deliveries) AS numbered
           WHERE d.id = numbered.id"""
    )
    seen: set[int] = set()
    low = EVER
    while True:
        batch = await deliveries.due([Range(3, low, 9)], await now(connection) + 60)
        if seen.issuperset(ids(batch)):
            break
        seen |= set(ids(batch))
        low = batch[-1].next_at
    assert seen == set(ids(made))


async def test_each_shard_is_read_from_its_own_start_up_to_its_own_limit(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    one = [await rows.delivery(connection, endpoint, shard=1, due_in=n) for n in range(4)]
    two = [await rows.delivery(connection, endpoint, shard=2, due_in=n) for n in range(4)]
    await rows.delivery(connection, endpoint, shard=3)
    due = await deliveries.due(
        [Range(1, EVER, 2), Range(2, two[1].next_at, 9), Range(4, EVER, 9)],
        await now(connection) + 60,
    )
    assert ids(due) == ids(one[:2]) + ids(two[1:])


async def test_parked_deliveries_are_not_due_by_shard(
    connection: Connection, deliveries: Deliveries
) -> None:
    await rows.delivery(connection, await rows.endpoint(connection), parked=True)
    assert await deliveries.due([Range(3, EVER, 9)], await now(connection)) == []


async def test_without_ranges_nothing_is_read(deliveries: Deliveries) -> None:
    assert await deliveries.due([], 1e10) == []


# ── parking ─────────────────────────────────────────────────────────────────────────────────────


async def test_parking_marks_deliveries_of_owned_shards(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    mine, left, foreign = [
        await rows.delivery(connection, endpoint, shard=shard) for shard in (1, 2, 3)
    ]
    await deliveries.park([mine, foreign, replace(mine, id=5)], [1, 2])
    assert await flags(connection) == {mine.id: True, left.id: False, foreign.id: False}


async def test_parking_a_parked_delivery_writes_nothing(
    connection: Connection, deliveries: Deliveries
) -> None:
    parked = await rows.delivery(connection, await rows.endpoint(connection), parked=True)
    version = "SELECT xmin::text FROM dispatcher.deliveries"
    before = await connection.fetchval(version)
    await deliveries.park([parked], [3])
    assert await connection.fetchval(version) == before


async def test_parking_gives_no_delivery_a_time_of_a_clock_that_was_set_back(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    never_tried, sent_again, retried, tried_since = [
        await rows.delivery(connection, endpoint, due_in=3_600, attempt=attempt, base=base)
        for attempt, base in ((0, 0), (2, 2), (3, 2), (3, 2))
    ]
    known = [
        never_tried,
        sent_again,
        replace(retried, next_at=retried.next_at - 3_600),
        replace(tried_since, next_at=tried_since.next_at - 3_600, attempt=2),
    ]
    await deliveries.park(known, [3])
    assert await minutes(connection) == {
        never_tried.id: 0,
        sent_again.id: 0,
        retried.id: 0,
        tried_since.id: 60,
    }


async def test_parking_keeps_the_time_of_an_ordered_retry_and_of_what_is_due(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    kept = [
        await rows.delivery(connection, endpoint, due_in=due_in, attempt=attempt)
        for due_in, attempt in ((3_600, 1), (-600, 1), (-600, 0))
    ]
    times = "SELECT next_at FROM dispatcher.deliveries ORDER BY id"
    before = await connection.fetch(times)
    await deliveries.park(kept, [3])
    assert await connection.fetch(times) == before
    assert all((await flags(connection)).values())


async def test_each_endpoint_with_parked_deliveries_is_returned_once(
    connection: Connection, deliveries: Deliveries
) -> None:
    assert await deliveries.parked_endpoints() == []
    endpoints = [await rows.endpoint(connection) for _ in range(5)]
    for endpoint in endpoints[:4]:
        for shard in (1, 1, 60):
            await rows.delivery(connection, endpoint, shard=shard, parked=True)
    await rows.delivery(connection, endpoints[4])
    assert await deliveries.parked_endpoints() == sorted(endpoints[:4])


async def test_parked_deliveries_are_read_longest_due_first_up_to_the_limit(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    made = [
        await rows.delivery(connection, endpoint, shard=n % 3, due_in=-n, parked=True, attempt=n)
        for n in range(1, 9)
    ]
    assert await deliveries.parked({endpoint: 5}, [0, 1, 2], 100) == made[:2:-1]
    assert await deliveries.parked({endpoint: 100}, [0, 1, 2], 100) == made[::-1]
    assert [one.shard for one in await deliveries.parked({endpoint: 100}, [1], 100)] == [1, 1, 1]


async def test_parked_deliveries_are_read_endpoint_by_endpoint_up_to_each_limit(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoints = [await rows.endpoint(connection) for _ in range(4)]
    made = [
        [await rows.delivery(connection, endpoint, due_in=-n, parked=True) for n in (3, 2, 1)]
        for endpoint in endpoints
    ]
    limits = dict.fromkeys([endpoints[n] for n in (2, 0, 3, 1)], 2)
    expected = made[2][:2] + made[0][:2] + made[3][:1]
    assert await deliveries.parked(limits, [3], 5) == expected


async def test_parked_deliveries_not_due_or_of_other_shards_are_not_read(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint, other = [await rows.endpoint(connection) for _ in range(2)]
    await rows.delivery(connection, endpoint, due_in=60, parked=True)
    await rows.delivery(connection, endpoint, parked=False)
    await rows.delivery(connection, other, parked=True)
    assert await deliveries.parked({endpoint: 10}, [3], 100) == []
    assert await deliveries.parked({other: 10}, [], 100) == []


async def test_reading_parked_deliveries_leaves_them_parked(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    made = await rows.delivery(connection, endpoint, parked=True)
    assert ids(await deliveries.parked({endpoint: 10}, [3], 100)) == [made.id]
    assert await flags(connection) == {made.id: True}


async def test_deliveries_of_an_ordered_endpoint_are_read_in_order_even_if_not_due(
    connection: Connection, deliveries: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection, home=41)
    made = [
        await rows.delivery(connection, endpoint, shard=41, due_in=60 - n, parked=True)
        for n in range(5)
    ]
    await rows.delivery(connection, endpoint, shard=40, parked=True)
    assert await deliveries.parked_in_order(endpoint, 41, 3) == made[:3]
    assert await deliveries.parked_in_order(endpoint, 41, 10) == made
