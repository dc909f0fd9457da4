"""What the overview says, from sums and rows as they are."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.histogram import EMPTY, bin_of
from dispatcher.services.overview import OVERVIEW_COUNT_LIMIT, Count, Overview
from dispatcher.store.pool import Pool
from dispatcher.store.queries.statistics import Statistics, Sums
from tests.conftest import Connection
from tests.store import rows


@pytest.fixture
def overview(pool: Pool) -> Overview:
    return Overview(pool)


def sums(attempts: int, failures: int, milliseconds: int) -> Sums:
    durations = list(EMPTY)
    durations[bin_of(milliseconds)] = attempts
    return Sums(attempts, failures, attempts - failures, 0, milliseconds * attempts, durations)


async def test_figures_without_attempts_are_empty(
    overview: Overview, connection: Connection
) -> None:
    webhook = await rows.endpoint(connection)
    health = (await overview.webhooks("env_default", [webhook]))[webhook]
    assert (health.attempts_24h, health.success_rate_24h, health.p95_ms) == (0, None, None)
    assert health.pending == Count(0)
    assert health.sparkline == ((0, 0),) * 48
    summary = await overview.summary("env_default")
    assert (summary.deliveries_per_second, summary.success_rate_1h, summary.p99_ms) == (
        0,
        None,
        None,
    )
    assert (summary.oldest, summary.paused_at, summary.all_paused_at) == (None, None, None)
    assert (summary.webhooks, summary.inbox, summary.quarantined) == (Count(1), Count(0), Count(0))
    assert await overview.daemons() == ()


async def test_the_health_of_a_webhook_sums_up_its_last_day(
    pool: Pool, overview: Overview, connection: Connection
) -> None:
    webhook = await rows.endpoint(connection)
    await Statistics(pool).add_of_endpoints({webhook: sums(90, 9, 100)})
    await Statistics(pool).add_of_endpoints({webhook: sums(10, 1, 1000)})
    await rows.delivery(connection, webhook)
    health = (await overview.webhooks("env_default", [webhook]))[webhook]
    assert (health.attempts_24h, health.success_rate_24h) == (100, 0.9)
    assert health.p50_ms is not None
    assert 70 < health.p50_ms < 100
    assert health.p95_ms is not None
    assert 700 < health.p95_ms < 1000
    assert (health.sparkline[47], sum(n for n, _ in health.sparkline)) == ((100, 10), 100)
    assert health.pending == Count(1)


async def test_webhooks_of_other_environments_are_not_shown(
    pool: Pool, overview: Overview, connection: Connection
) -> None:
    await rows.environment(connection, "env_b")
    foreign = await rows.endpoint(connection, environment="env_b")
    await Statistics(pool).add_of_endpoints({foreign: sums(90, 9, 100)})
    assert await overview.webhooks("env_default", [foreign]) == {}


async def test_pending_deliveries_are_counted_exactly_up_to_a_bound(
    overview: Overview, connection: Connection
) -> None:
    webhook = await rows.endpoint(connection)
    fill = """INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard)
              SELECT n, n, $1, 'env_default', 'a', now(), 0 FROM generate_series($2::int, $3::int) AS n"""
    await connection.execute(fill, webhook, 1, OVERVIEW_COUNT_LIMIT)
    assert (await overview.webhooks("env_default", [webhook]))[webhook].pending == Count(
        OVERVIEW_COUNT_LIMIT
    )
    assert (await overview.summary("env_default")).pending == Count(OVERVIEW_COUNT_LIMIT)
    await connection.execute(fill, webhook, OVERVIEW_COUNT_LIMIT + 1, OVERVIEW_COUNT_LIMIT + 1)
    expected = Count(OVERVIEW_COUNT_LIMIT, more=True)
    assert (await overview.webhooks("env_default", [webhook]))[webhook].pending == expected
    assert (await overview.summary("env_default")).pending == expected
    assert (await overview.summary(None)).pending == expected


async def test_a_summary_covers_one_environment_or_all(
    pool: Pool, overview: Overview, connection: Connection
) -> None:
    await rows.environment(connection, "env_b")
    webhook = await rows.endpoint(connection)
    await rows.endpoint(connection, environment="env_b", active=False)
    waiting = await rows.delivery(connection, webhook)
    await Statistics(pool).add_of_environments(
        {
            ALL_ENVIRONMENTS: sums(400, 100, 20),
            "env_default": sums(300, 0, 20),
            "env_b": sums(100, 100, 20),
        }
    )
    mine, theirs = await overview.summary("env_default"), await overview.summary("env_b")
    everything = await overview.summary(None)
    assert (mine.success_rate_1h, mine.success_rate_24h) == (1.0, 1.0)
    assert (theirs.success_rate_1h, everything.success_rate_24h) == (0.0, 0.75)
    assert 300 / 61 < mine.deliveries_per_second <= 300 / 50
    assert theirs.deliveries_per_second == 0
    assert (theirs.webhooks, theirs.disabled, everything.webhooks) == (Count(1), Count(1), Count(2))
    assert (mine.pending, theirs.pending, everything.pending) == (Count(1), Count(0), Count(1))
    assert mine.oldest == everything.oldest
    assert mine.oldest is not None
    assert mine.oldest.timestamp() == pytest.approx(waiting.next_at, abs=2)


async def test_series_have_a_point_for_each_stretch_of_time(
    pool: Pool, overview: Overview, connection: Connection
) -> None:
    await Statistics(pool).add_of_environments({"env_default": sums(30, 10, 20)})
    await connection.execute(
        "UPDATE dispatcher.environment_statistics SET bucket = bucket - interval '20 minutes'"
    )
    summary = await overview.summary("env_default")
    assert (len(summary.hour), len(summary.day)) == (60, 144)
    for points, width in ((summary.hour, 60), (summary.day, 600)):
        steps = {later.at - point.at for point, later in pairwise(points)}
        assert steps == {timedelta(seconds=width)}
        assert points[-1].at <= summary.at < points[-1].at + timedelta(seconds=width)
        busy = [p for p in points if p.p95_ms is not None]
        assert [(p.delivered, p.failed) for p in busy] == [(20, 10)]
        passed = summary.at - busy[0].at
        assert timedelta(minutes=20) - timedelta(seconds=width) <= passed
        assert passed <= timedelta(minutes=20, seconds=width + 10)


async def test_the_current_pauses_are_returned(overview: Overview, connection: Connection) -> None:
    await connection.execute("UPDATE dispatcher.settings SET paused_at = now()")
    one, everything = await overview.summary("env_default"), await overview.summary(None)
    assert one.paused_at is everything.paused_at is None
    assert one.all_paused_at == everything.all_paused_at
    assert one.all_paused_at is not None
    await connection.execute("UPDATE dispatcher.environments SET paused_at = now()")
    assert (await overview.summary("env_default")).paused_at is not None


async def test_a_daemon_without_a_status_is_listed(
    overview: Overview, connection: Connection
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (7, now()), (8, now())"
    )
    await connection.execute("UPDATE dispatcher.shards SET owner = 8 WHERE shard < 3")
    await connection.execute(
        "INSERT INTO dispatcher.daemon_status VALUES (8, $1, now())",
        '{"version": "1", "host": "h", "pid": 5, "up": 60.5, "in_flight": 1, "in_queues": 2,'
        ' "scheduled": 3, "unrecorded": 4}',
    )
    first, second = await overview.daemons()
    assert (first.shards, first.version, first.host, first.pid) == ((0, 1, 2), "1", "h", 5)
    assert (first.in_flight, first.in_queues, first.scheduled, first.unrecorded) == (1, 2, 3, 4)
    assert first.started_at is not None
    up = datetime.now(UTC) - first.started_at
    assert up == pytest.approx(timedelta(seconds=60.5), abs=timedelta(seconds=5))
    assert (second.id, second.shards, second.version, second.status_age) == (7, (), None, None)
