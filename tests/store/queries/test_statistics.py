"""Sums in the database: added to the present, summed up over time, removed when they are old."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.histogram import BINS, EMPTY, bin_of
from dispatcher.store.queries.daemons import Daemons
from dispatcher.store.queries.statistics import Statistics, Sums
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.rows import DAEMON


def sums(attempts: int = 1, failures: int = 0, milliseconds: int = 12) -> Sums:
    durations = list(EMPTY)
    durations[bin_of(milliseconds)] = attempts
    return Sums(
        attempts, failures, attempts - failures, 0, attempts * milliseconds, tuple(durations)
    )


@pytest.fixture
def statistics(session: Session) -> Statistics:
    return Statistics(session)


async def test_sums_of_an_endpoint_add_up_within_half_an_hour(
    statistics: Statistics, connection: Connection
) -> None:
    await connection.execute(
        "SELECT pg_sleep(1) WHERE extract(epoch FROM now())::int % 1800 > 1798"  # all in one bucket
    )
    one, other = sorted((uuid4(), uuid4()))
    await statistics.add_of_endpoints({one: sums(3, 1), other: sums(1, milliseconds=90)})
    await statistics.add_of_endpoints({one: sums(2, 2, milliseconds=31_000)})
    records = await connection.fetch(
        "SELECT * FROM dispatcher.endpoint_statistics ORDER BY endpoint_id"
    )
    expected = list(EMPTY)
    expected[bin_of(12)], expected[BINS - 1] = 3, 2
    assert [row["endpoint_id"] for row in records] == [one, other]
    first = records[0]
    assert (first["attempts"], first["failed_attempts"], first["delivered"]) == (5, 3, 2)
    assert (first["duration_ms"], first["durations"]) == (3 * 12 + 2 * 31_000, expected)
    assert first["bucket"].timestamp() % 1800 == 0


async def test_sums_of_an_environment_are_kept_twice(
    statistics: Statistics, connection: Connection
) -> None:
    await statistics.add_of_environments({ALL_ENVIRONMENTS: sums(3), "env_default": sums(3)})
    await statistics.add_of_environments({"env_default": sums(1)})
    records = await connection.fetch(
        "SELECT environment_id, span, sum(attempts)::int AS attempts, max(bucket) AS bucket"
        " FROM dispatcher.environment_statistics GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [(r["environment_id"], r["span"], r["attempts"]) for r in records] == [
        (ALL_ENVIRONMENTS, 10, 3),
        (ALL_ENVIRONMENTS, 600, 3),
        ("env_default", 10, 4),
        ("env_default", 600, 4),
    ]
    for row in records:
        assert row["bucket"].timestamp() % row["span"] == 0


async def test_daemons_that_add_sums_in_another_order_do_not_deadlock(
    session: Session, other: Session, connection: Connection
) -> None:
    ids = [uuid4() for _ in range(300)]
    forward = {i: sums() for i in ids}
    backward = {i: sums() for i in reversed(ids)}
    for _ in range(10):
        await asyncio.gather(
            Statistics(session).add_of_endpoints(forward),
            Statistics(other).add_of_endpoints(backward),
        )
    total = await connection.fetchval("SELECT sum(attempts) FROM dispatcher.endpoint_statistics")
    assert total == 300 * 20


async def test_sums_of_endpoints_add_up_half_hours_of_their_environment(
    statistics: Statistics, connection: Connection
) -> None:
    await rows.environment(connection, "env_b")
    mine = await rows.endpoint(connection)
    idle = await rows.endpoint(connection)
    foreign = await rows.endpoint(connection, environment="env_b")
    await statistics.add_of_endpoints({mine: sums(4, 1), foreign: sums(9)})
    await connection.execute(
        "INSERT INTO dispatcher.endpoint_statistics"
        " SELECT endpoint_id, bucket - n * interval '30 minutes', 10, 5, 5, 0, 0, durations"
        " FROM dispatcher.endpoint_statistics, unnest('{1,47,48}'::int[]) AS n"
    )
    for _ in range(3):
        await rows.delivery(connection, mine)
    by_endpoint = {
        row["id"]: row
        for row in await statistics.of_endpoints("env_default", [mine, idle, foreign], 48, 3)
    }
    assert by_endpoint.keys() == {mine, idle}
    sent = by_endpoint[mine]
    lists = [sent[name] or [] for name in ("slots", "attempts", "failed_attempts")]
    assert set(zip(*lists, strict=True)) == {(47, 4, 1), (46, 10, 5), (0, 10, 5)}
    assert sum(sent["durations"] or []) == 12
    assert (sent["pending"], by_endpoint[idle]["pending"]) == (3, 0)
    assert by_endpoint[idle]["slots"] is None
    few = await statistics.of_endpoints("env_default", [mine], 48, 2)
    assert few[0]["pending"] == 2


async def test_a_series_has_points_where_something_was_sent(
    statistics: Statistics, connection: Connection
) -> None:
    await statistics.add_of_environments({"env_default": sums(6, 2)})
    await connection.execute(
        "INSERT INTO dispatcher.environment_statistics"
        " SELECT environment_id, span, bucket - n * interval '1 minute', attempts, failed_attempts, delivered,"
        "  failed, duration_ms, durations"
        " FROM dispatcher.environment_statistics, unnest('{1,59,60}'::int[]) AS n WHERE span = 10"
    )
    points = await statistics.series("env_default", 10, 60, 60)
    assert [(p["attempts"], p["failed_attempts"], p["delivered"]) for p in points] == [
        (6, 2, 4)
    ] * 3
    assert all(p["at"].second == 0 for p in points)
    assert points[-1]["at"] - points[0]["at"] == timedelta(minutes=59)
    assert sum(points[0]["durations"]) == 6
    assert await statistics.series("env_b", 10, 60, 60) == []
    day = await statistics.series("env_default", 600, 600, 144)
    assert [p["attempts"] for p in day] == [6]


async def test_the_speed_of_an_environment_is_that_of_the_last_minute(
    statistics: Statistics, connection: Connection
) -> None:
    await statistics.add_of_environments({"env_default": sums(6, 2)})
    await connection.execute(
        "INSERT INTO dispatcher.environment_statistics"
        " SELECT environment_id, span, bucket - n * interval '10 s', attempts, failed_attempts, 100, 0, 0, durations"
        " FROM dispatcher.environment_statistics, unnest('{4,7}'::int[]) AS n WHERE span = 10"
    )
    speed = await statistics.speed("env_default")
    assert speed["delivered"] == 104
    assert 50 <= speed["seconds"] < 61
    assert (await statistics.speed("env_b"))["delivered"] == 0


async def test_the_backlog_is_counted_up_to_a_limit(
    statistics: Statistics, connection: Connection
) -> None:
    await rows.environment(connection, "env_b")
    first = await rows.endpoint(connection)
    await rows.endpoint(connection, active=False)
    await rows.endpoint(connection, deleted=True)
    foreign = await rows.endpoint(connection, environment="env_b")
    for endpoint_id in (first, first, foreign):
        await rows.delivery(connection, endpoint_id)
    await connection.execute(
        "UPDATE dispatcher.deliveries SET id = dispatcher.id_floor(now() - interval '90 s')"
        " WHERE id = (SELECT min(id) FROM dispatcher.deliveries WHERE endpoint_id = $1)",
        first,
    )
    for environment in ("env_default", "env_b", "env_b"):
        await rows.event(connection, environment=environment)
    await connection.execute(
        "INSERT INTO dispatcher.unvalidated_events VALUES (dispatcher.next_id(), 'env_default', 'a')"
    )
    await connection.execute(
        "INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)"
        " VALUES (1, 1, 'env_b', 'a', 0, 'r', 'd')"
    )
    await connection.execute(
        "UPDATE dispatcher.environments SET paused_at = now() WHERE id = 'env_b'"
    )
    old = await connection.fetchval("SELECT dispatcher.id_time(min(id)) FROM dispatcher.deliveries")
    mine = await statistics.backlog("env_default", 100)
    assert mine == {
        "webhooks": 2,
        "disabled": 1,
        "inbox": 2,
        "pending": 2,
        "quarantined": 0,
        "oldest": old,
        "paused_at": None,
        "all_paused_at": None,
    }
    theirs = await statistics.backlog("env_b", 100)
    assert (theirs["inbox"], theirs["pending"], theirs["quarantined"]) == (2, 1, 1)
    assert theirs["oldest"] > old + timedelta(seconds=60)
    assert theirs["paused_at"] is not None
    everything = await statistics.backlog_of_all(100)
    assert everything == {
        "webhooks": 3,
        "disabled": 1,
        "inbox": 4,
        "pending": 3,
        "quarantined": 1,
        "oldest": old,
        "paused_at": None,
        "all_paused_at": None,
    }
    for few in (await statistics.backlog("env_default", 1), await statistics.backlog_of_all(1)):
        assert (few["webhooks"], few["inbox"], few["pending"]) == (1, 1, 1)


async def test_old_sums_are_removed_some_at_a_time(
    statistics: Statistics, connection: Connection
) -> None:
    await statistics.add_of_endpoints({UUID(int=1): sums()})
    await statistics.add_of_environments({ALL_ENVIRONMENTS: sums()})
    for table, ages in (
        ("endpoint_statistics", "7 days,9 days,10 days,11 days"),
        ("environment_statistics", "2 hours,4 hours,9 days,10 days"),
    ):
        columns = "endpoint_id" if table.startswith("endpoint") else "environment_id, span"
        await connection.execute(
            f"INSERT INTO dispatcher.{table}"  # noqa: S608 - the test's own
            f" SELECT {columns}, bucket - age::interval, 1, 0, 1, 0, 0, durations"
            f" FROM dispatcher.{table}, unnest(string_to_array($1, ',')) AS age",
            ages,
        )
    removed = [await statistics.prune(2) for _ in range(3)]
    assert removed == [2, 1, 0]
    left = await connection.fetch(
        "SELECT 0 AS span, (now() - bucket) < interval '7 days 31 minutes' AS kept FROM dispatcher.endpoint_statistics"
        " UNION ALL SELECT span, now() - bucket < CASE span WHEN 10 THEN interval '2 hours 1 minute'"
        " ELSE interval '5 hours' END FROM dispatcher.environment_statistics"
    )
    assert sorted((row["span"], row["kept"]) for row in left) == (
        [(0, True)] * 2 + [(10, True)] * 2 + [(600, True)] * 3
    )


async def test_the_status_of_a_daemon_is_listed_with_its_shards(
    session: Session, connection: Connection, owner: int
) -> None:
    daemons = Daemons(session)
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (8, now() - interval '5 s')"
    )
    await daemons.publish_status(DAEMON, '{"up": 60, "n": 1}')
    await daemons.publish_status(DAEMON, '{"up": 60, "n": 2}')
    first, second = await daemons.list()
    assert (first["id"], first["shards"], second["id"], second["shards"]) == (
        owner,
        list(range(64)),
        8,
        [],
    )
    assert first["status"] == '{"up": 60, "n": 2}'
    age = await connection.fetchval("SELECT now() - $1::timestamptz", first["started_at"])
    assert age == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=5))
    assert second["status"] is None
    assert second["silence"] == pytest.approx(5, abs=3)


async def test_the_status_of_a_dead_daemon_is_forgotten(
    session: Session, connection: Connection, owner: int
) -> None:
    daemons = Daemons(session)
    for daemon in (owner, 8, 9):
        await daemons.publish_status(daemon, "{}")
    await connection.execute(
        "UPDATE dispatcher.daemon_status SET published_at = now() - interval '2 hours' WHERE daemon_id < 9"
    )
    await daemons.prune_status()
    left = await connection.fetch("SELECT daemon_id FROM dispatcher.daemon_status ORDER BY 1")
    assert [row["daemon_id"] for row in left] == [owner, 9]
