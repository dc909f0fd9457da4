"""Day partitions: made ahead without keeping a producer waiting, dropped when nothing needs them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from dispatcher.store.queries.partitions import Partitions
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows

DAY = 86_400.0
INSERT = "INSERT INTO dispatcher.events (type, data) VALUES ('a', '1')"
PATIENCE = 10.0
"""Seconds a producer may be kept waiting, on any machine. Without a lock timeout it waits until the test ends."""


@pytest.fixture
def partitions(session: Session) -> Partitions:
    return Partitions(session)


@pytest.fixture
async def producer(dsn: str) -> AsyncIterator[Connection]:
    async with connected(dsn) as opened:
        yield opened


async def today(connection: Connection) -> datetime:
    moment: datetime = await connection.fetchval("SELECT date_trunc('day', now(), 'UTC')")
    return moment.astimezone(UTC)


def name(parent: str, day: datetime) -> str:
    return f"{parent}_{day:%Y%m%d}"


async def attached(connection: Connection, parent: str) -> list[str]:
    records = await connection.fetch(
        """SELECT relid::regclass::text AS name FROM pg_partition_tree($1::regclass) WHERE level = 1""",
        f"dispatcher.{parent}",
    )
    return sorted(row["name"].removeprefix("dispatcher.") for row in records)


async def drop(connection: Connection, *names: str) -> None:
    for partition in names:
        await connection.execute(f"DROP TABLE dispatcher.{partition}")


async def past(connection: Connection, parent: str, days_ago: int) -> str:
    """A partition of a day that is over."""
    day = await today(connection) - timedelta(days=days_ago)
    await connection.execute("SELECT dispatcher.make_partition($1, $2)", parent, day.date())
    return name(parent, day)


async def ids_in(connection: Connection, table: str) -> list[int]:
    records = await connection.fetch(f"SELECT id FROM dispatcher.{table} ORDER BY id")  # noqa: S608
    return [row["id"] for row in records]


async def old_event(connection: Connection, days_ago: int) -> int:
    number: int = await connection.fetchval(
        """INSERT INTO dispatcher.events (id, type, data)
           VALUES (dispatcher.id_floor(now() - make_interval(days => $1)), 'a', '1') RETURNING id""",
        days_ago,
    )
    await connection.execute("DELETE FROM dispatcher.inbox")
    return number


# ── making ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_database_has_today_and_a_week_ahead(connection: Connection) -> None:
    start = await today(connection)
    for parent in ("events", "attempts"):
        week = [name(parent, start + timedelta(days=n)) for n in range(8)]
        assert await attached(connection, parent) == [*week, f"{parent}_default"]


async def test_missing_partitions_are_made_once(
    connection: Connection, partitions: Partitions
) -> None:
    assert await partitions.ensure(7) == []
    last = await today(connection) + timedelta(days=9)
    made = [
        name(parent, last - timedelta(days=n)) for parent in ("events", "attempts") for n in (1, 0)
    ]
    assert await partitions.ensure(9) == made
    assert await partitions.ensure(9) == []


async def test_a_partition_holds_its_day_by_utc_and_looks_like_the_others(
    connection: Connection,
) -> None:
    day = await today(connection) + timedelta(days=3)
    for parent in ("events", "attempts"):
        bounds, indexes = await connection.fetchrow(
            """SELECT pg_get_expr(relpartbound, oid), (SELECT count(*) FROM pg_index WHERE indrelid = c.oid)
               FROM pg_class c WHERE oid = $1::regclass""",
            f"dispatcher.{name(parent, day)}",
        ) or ("", 0)
        low, high = [
            await connection.fetchval("SELECT dispatcher.id_floor($1)", day + timedelta(days=n))
            for n in (0, 1)
        ]
        assert bounds == f"FOR VALUES FROM ('{low}') TO ('{high}')"
        assert indexes == await connection.fetchval(
            "SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass", f"dispatcher.{parent}"
        )


async def test_an_event_without_a_partition_is_accepted_and_moved_later(
    connection: Connection, partitions: Partitions
) -> None:
    start = name("events", await today(connection))
    await drop(connection, start)
    events = [await rows.event(connection) for _ in range(3)]
    assert await ids_in(connection, "events_default") == events
    assert await partitions.ensure(7) == [start]
    assert await ids_in(connection, "events_default") == []
    assert await ids_in(connection, start) == events
    assert await rows.inbox(connection) == events


async def test_an_insert_succeeds_while_its_partition_is_being_made(
    connection: Connection, producer: Connection, dsn: str
) -> None:
    start = name("events", await today(connection))
    await drop(connection, start)
    await producer.execute(INSERT)
    async with connected(dsn) as watcher, connection.transaction():
        assert await connection.fetchval("SELECT dispatcher.ensure_partitions(7)") == [start]
        waiting = asyncio.create_task(producer.execute(INSERT))
        await rows.waits_for_lock(watcher, producer.get_server_pid())
    assert await waiting == "INSERT 0 1"
    assert len(await ids_in(connection, start)) == 2


async def test_many_rows_in_the_default_partition_stay_and_block_nothing(
    connection: Connection, partitions: Partitions
) -> None:
    start = await today(connection)
    await drop(connection, *(name("events", start + timedelta(days=n)) for n in range(3)))
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) SELECT 'a', '1' FROM generate_series(1, 10001)"
    )
    assert await partitions.ensure(7) == [name("events", start + timedelta(days=1))]
    assert await partitions.ensure(7) == [name("events", start + timedelta(days=2))]
    assert await partitions.ensure(7) == []
    assert len(await ids_in(connection, "events_default")) == 10001


async def test_an_open_transaction_does_not_block_new_partitions(
    connection: Connection, partitions: Partitions, producer: Connection
) -> None:
    async with connection.transaction():
        await connection.execute(INSERT)
        began = monotonic()
        made = await partitions.ensure(9)
        assert len(made) == 4
        await producer.execute(INSERT)
        assert monotonic() - began < 10


@pytest.mark.long
@pytest.mark.parametrize("days", [range(1), range(3, 8)], ids=["today", "ahead"])
async def test_a_producer_waits_at_most_the_lock_timeout(
    connection: Connection, partitions: Partitions, producer: Connection, days: Sequence[int]
) -> None:
    """Whatever else is open: a transaction that inserted, and one that read everything."""
    start = await today(connection)
    missing = [name("events", start + timedelta(days=n)) for n in days]
    await drop(connection, *missing)
    await producer.execute(INSERT)
    longest = 0.0
    async with connection.transaction():
        await connection.execute(INSERT)
        await connection.execute("SELECT count(*) FROM dispatcher.events")
        ensuring = asyncio.create_task(partitions.ensure(7))
        while not ensuring.done():
            began = monotonic()
            await producer.execute(INSERT)
            longest = max(longest, monotonic() - began)
    assert await ensuring == []
    assert longest < PATIENCE
    assert sorted(await partitions.ensure(7)) == missing


async def test_two_daemons_at_once_make_each_partition_once(
    connection: Connection, partitions: Partitions, other: Session
) -> None:
    both = await asyncio.gather(partitions.ensure(12), Partitions(other).ensure(12))
    made = [partition for names in both for partition in names]
    assert len(made) == len(set(made))
    await partitions.ensure(12)
    assert (
        len(await attached(connection, "events"))
        == len(await attached(connection, "attempts"))
        == 14
    )


# ── dropping ────────────────────────────────────────────────────────────────────────────────────


async def test_a_partition_is_dropped_when_its_newest_row_is_too_old(
    connection: Connection, partitions: Partitions
) -> None:
    for parent in ("attempts", "events"):
        oldest = await past(connection, parent, 4)
        await past(connection, parent, 3)
        assert await partitions.drop_one(parent, 4 * DAY) is None
        assert await partitions.drop_one(parent, 3 * DAY) == oldest
        assert await partitions.drop_one(parent, 3 * DAY) is None
        assert oldest not in await attached(connection, parent)


async def test_each_call_drops_the_oldest_partition(
    connection: Connection, partitions: Partitions
) -> None:
    old = [await past(connection, "events", n) for n in (5, 4, 3)]
    assert [await partitions.drop_one("events", DAY) for _ in range(4)] == [*old, None]
    assert len(await attached(connection, "events")) == 9


@pytest.mark.parametrize("holder", ["inbox", "deliveries", "quarantine"])
async def test_events_that_are_still_needed_are_kept(
    connection: Connection, partitions: Partitions, holder: str
) -> None:
    kept = await past(connection, "events", 4)
    endpoint = await rows.endpoint(connection)
    event = await old_event(connection, 4)
    if holder == "deliveries":
        await rows.delivery(connection, endpoint, event_id=event)
    else:
        await rows.directed(connection, event, endpoint)
    if holder == "quarantine":
        await connection.execute(
            """WITH gone AS (DELETE FROM dispatcher.inbox RETURNING *)
               INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
               SELECT id, event_id, environment_id, type, attempt, 'r', 'd' FROM gone"""
        )
    assert await partitions.drop_one("events", DAY) is None
    await connection.execute(f"TRUNCATE dispatcher.{holder}")
    assert await partitions.drop_one("events", DAY) == kept


async def test_pending_deliveries_do_not_keep_old_attempts(
    connection: Connection, partitions: Partitions
) -> None:
    old = await past(connection, "attempts", 4)
    await rows.delivery(connection, await rows.endpoint(connection), event_id=1)
    assert await partitions.drop_one("attempts", DAY) == old


async def test_dropping_a_used_partition_gives_up_quickly(
    connection: Connection, partitions: Partitions, producer: Connection
) -> None:
    old = await past(connection, "events", 4)
    longest = 0.0
    async with connection.transaction():
        await connection.execute(INSERT)
        dropping = asyncio.create_task(partitions.drop_one("events", DAY))
        while not dropping.done():
            began = monotonic()
            await producer.execute(INSERT)
            longest = max(longest, monotonic() - began)
    assert await dropping is None
    assert longest < PATIENCE
    assert await partitions.drop_one("events", DAY) == old


async def test_a_second_daemon_does_not_drop_the_same_partition(
    connection: Connection, partitions: Partitions
) -> None:
    await past(connection, "attempts", 4)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT dispatcher.drop_partition('attempts', '1 day')")
    second = asyncio.create_task(partitions.drop_one("attempts", DAY))
    await rows.until_true(
        connection,
        "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE NOT granted AND mode = 'AccessExclusiveLock' AND datname = current_database())",
    )
    await transaction.commit()
    assert await second is None


async def test_old_rows_of_the_default_partition_are_deleted_when_unneeded(
    connection: Connection, partitions: Partitions
) -> None:
    await old_event(connection, 4)
    young = await old_event(connection, 2)
    endpoint = await rows.endpoint(connection)
    await rows.delivery(connection, endpoint, event_id=young - 1)
    assert await partitions.drop_one("events", 3 * DAY) is None
    assert await ids_in(connection, "events_default") == [young]
    assert await partitions.drop_one("events", DAY) is None
    assert await ids_in(connection, "events_default") == [young]
    await connection.execute("DELETE FROM dispatcher.deliveries")
    assert await partitions.drop_one("events", DAY) is None
    assert await ids_in(connection, "events_default") == []


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


async def test_keys_of_old_events_are_forgotten_in_parts(
    connection: Connection, partitions: Partitions
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.idempotency_keys
           SELECT 'env_default', 'k' || n, n FROM generate_series(1, 9) AS n"""
    )
    assert await partitions.prune_keys(6, 3) == 3
    assert await partitions.prune_keys(6, 3) == 2
    assert await partitions.prune_keys(6, 3) == 0
    left = await connection.fetch("SELECT event_id FROM dispatcher.idempotency_keys ORDER BY 1")
    assert [row["event_id"] for row in left] == [6, 7, 8, 9]
