"""What waits, by state: what is counted where, for one environment and for all."""

from datetime import UTC, datetime

import pytest

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.figures import Waiting
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.backlog import Backlogs, largest
from dispatcher.services.pauses import Pauses
from dispatcher.store.pool import Pool
from dispatcher.store.queries.statistics import Statistics, Sums
from tests.conftest import Connection
from tests.store import rows


@pytest.fixture
def backlogs(pool: Pool) -> Backlogs:
    return Backlogs(pool)


def counts(waiting: Waiting) -> tuple[int, int, int]:
    assert waiting.more == ()
    return waiting.due, waiting.scheduled, waiting.held


async def both(backlogs: Backlogs) -> tuple[int, int, int]:
    """Due, scheduled and held, which are the same for the one environment and for all."""
    pending = counts((await backlogs.read(None)).pending)
    assert counts((await backlogs.read("env_default")).pending) == pending
    return pending


async def test_an_empty_environment_has_no_backlog(backlogs: Backlogs) -> None:
    assert await both(backlogs) == (0, 0, 0)
    backlog = await backlogs.read(None)
    assert backlog.pending.oldest_due_seconds == 0
    assert (backlog.inbox.events, backlog.inbox.oldest_seconds, backlog.quarantined) == (0, 0, 0)
    assert backlog.environments == {}


async def test_due_deliveries_have_an_age_and_retries_are_scheduled(
    backlogs: Backlogs, connection: Connection
) -> None:
    webhook = await rows.endpoint(connection)
    await rows.delivery(connection, webhook, due_in=-90)
    await rows.delivery(connection, webhook, due_in=-300, parked=True, shard=9)
    await rows.delivery(connection, webhook, due_in=3600, attempt=1)
    assert await both(backlogs) == (2, 1, 0)
    for environment in (None, "env_default"):
        age = (await backlogs.read(environment)).pending.oldest_due_seconds
        assert 300 <= age < 360


async def test_deliveries_behind_the_retry_of_an_ordered_webhook_are_scheduled(
    backlogs: Backlogs, connection: Connection
) -> None:
    blocked, going = [await rows.endpoint(connection, "*", home=3) for _ in range(2)]
    await rows.delivery(connection, blocked, due_in=600, attempt=1, parked=True)
    for _ in range(2):
        await rows.delivery(connection, blocked, due_in=-300, parked=True)
    for _ in range(3):
        await rows.delivery(connection, going, due_in=-30, parked=True)
    assert await both(backlogs) == (3, 3, 0)
    for environment in (None, "env_default"):
        age = (await backlogs.read(environment)).pending.oldest_due_seconds
        assert 30 <= age < 300


async def test_deliveries_of_disabled_or_paused_webhooks_are_held_without_an_age(
    backlogs: Backlogs, connection: Connection
) -> None:
    disabled = await rows.endpoint(connection, active=False)
    await rows.delivery(connection, disabled, due_in=-1e6)
    await rows.delivery(connection, disabled, due_in=-1e6, parked=True)
    await rows.delivery(connection, disabled, due_in=1e5)
    resting = await rows.endpoint(connection)
    await connection.execute(
        "INSERT INTO dispatcher.endpoint_health (endpoint_id, resting_until) VALUES ($1, now() + interval '1 h')",
        resting,
    )
    await rows.delivery(connection, resting, due_in=-1e6)
    assert await both(backlogs) == (0, 0, 4)
    backlog = await backlogs.read(None)
    assert backlog.pending.oldest_due_seconds == 0
    assert (backlog.endpoints.active, backlog.endpoints.disabled) == (1, 1)


async def test_deliveries_of_a_paused_environment_are_held(
    backlogs: Backlogs, pool: Pool, connection: Connection, actor: Actor
) -> None:
    await rows.environment(connection, "env_other")
    mine = await rows.endpoint(connection)
    theirs = await rows.endpoint(connection, environment="env_other")
    for webhook in (mine, mine, theirs):
        await rows.delivery(connection, webhook, due_in=-5)
    async with pool.transaction() as session:
        await Pauses(session, actor).pause("env_other")
    backlog = await backlogs.read(None)
    assert counts(backlog.pending) == (2, 0, 1)
    assert backlog.environments == {"env_default": {"due": 2}, "env_other": {"held": 1}}
    assert backlog.all_paused_at is None
    assert counts((await backlogs.read("env_other")).pending) == (0, 0, 1)
    async with pool.transaction() as session:
        await Pauses(session, actor).pause(None)
    backlog = await backlogs.read(None)
    assert counts(backlog.pending) == (0, 0, 3)
    assert backlog.environments == {"env_default": {"held": 2}, "env_other": {"held": 1}}
    assert backlog.all_paused_at is not None
    assert counts((await backlogs.read("env_default")).pending) == (0, 0, 2)


async def test_counting_stops_at_a_limit_and_reports_it(
    backlogs: Backlogs, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.services.backlog.BACKLOG_COUNT_LIMIT", 4)
    webhook = await rows.endpoint(connection)
    for number in range(5):
        await rows.delivery(connection, webhook, due_in=-10 - number, shard=number)
    for environment in (None, "env_default"):
        waiting = (await backlogs.read(environment)).pending
        assert (waiting.due, waiting.more) == (4, ("due",))
        assert waiting.oldest_due_seconds >= 13
    disabled = await rows.endpoint(connection, active=False)
    for _ in range(5):
        await rows.delivery(connection, disabled)
    waiting = (await backlogs.read(None)).pending
    assert (waiting.due, waiting.held, sorted(waiting.more)) == (4, 4, ["due", "held"])


async def test_events_of_others_that_hide_those_of_an_environment_are_reported(
    backlogs: Backlogs, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first events of the inbox are counted, of whichever environments."""
    monkeypatch.setattr("dispatcher.services.backlog.BACKLOG_COUNT_LIMIT", 3)
    await rows.environment(connection, "env_other")
    for _ in range(2):
        await rows.event(connection)
    inbox = (await backlogs.read("env_other")).inbox
    assert (inbox.events, inbox.more) == (0, False)
    await rows.event(connection)
    await rows.event(connection, environment="env_other")
    inbox = (await backlogs.read("env_other")).inbox
    assert (inbox.events, inbox.more) == (0, True)


async def test_an_event_before_its_fan_out_counts_as_waiting(
    backlogs: Backlogs, connection: Connection
) -> None:
    await rows.environment(connection, "env_other")
    await rows.event(connection)
    await rows.event(connection)
    await rows.event(connection, environment="env_other")
    assert (await backlogs.read(None)).inbox.events == 3
    assert (await backlogs.read("env_other")).inbox.events == 1
    assert 0 <= (await backlogs.read(None)).inbox.oldest_seconds < 60


async def test_webhooks_are_active_failing_or_disabled(
    backlogs: Backlogs, connection: Connection
) -> None:
    await rows.endpoint(connection)
    failing = [await rows.endpoint(connection, active=active) for active in (True, False)]
    await rows.endpoint(connection, deleted=True)
    await connection.executemany(
        "INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since) VALUES ($1, now())",
        [(endpoint,) for endpoint in failing],
    )
    for environment in (None, "env_default"):
        webhooks = (await backlogs.read(environment)).endpoints
        assert (webhooks.active, webhooks.disabled, webhooks.failing) == (2, 1, 1)


async def test_the_figures_of_all_environments_include_the_daemons(
    backlogs: Backlogs, pool: Pool, connection: Connection
) -> None:
    sums = Sums(10, 4, 6, 1, 100, [10] + [0] * 25)
    await Statistics(pool).add_of_environments({ALL_ENVIRONMENTS: sums, "env_default": sums})
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at, confirmed_version) VALUES (1, now(), 0);"
        """INSERT INTO dispatcher.daemon_status VALUES (1, '{"in_flight": 3, "unrecorded": 2, "up": 1}', now());"""
        "INSERT INTO dispatcher.daemons (id, renewed_at, confirmed_version) VALUES (2, now(), 0);"
        """INSERT INTO dispatcher.daemon_status VALUES (2, '{"in_flight": 9, "up": 1}', now() - interval '1 h')"""
    )
    of_all, own = await backlogs.stats(None), await backlogs.stats("env_default")
    assert (of_all.environment_id, of_all.in_flight, of_all.unrecorded) == ("*", 3, 2)
    assert (own.environment_id, own.in_flight, own.unrecorded) == ("env_default", None, None)
    assert own.last_hour == of_all.last_hour
    hour = own.last_hour
    assert (hour.delivered, hour.failed, hour.attempts, hour.failed_attempts) == (6, 1, 10, 4)
    assert abs((datetime.now(UTC) - own.at).total_seconds()) < 60


@pytest.mark.parametrize(
    ("environments", "limit", "expected"),
    [
        ({}, 2, {}),
        ({"a": {"due": 1}}, 2, {"a": {"due": 1}}),
        (
            {"a": {"due": 1}, "b": {"held": 5}, "c": {"due": 2, "scheduled": 1}},
            1,
            {"b": {"held": 5}, "other": {"due": 3, "scheduled": 1, "held": 0}},
        ),
        (
            {"other": {"due": 9}, "b": {"due": 1}},
            2,
            {"b": {"due": 1}, "other": {"due": 9, "scheduled": 0, "held": 0}},
        ),
    ],
)
def test_the_environments_with_most_are_named_and_the_others_added_up(
    environments: dict[str, dict[str, int]], limit: int, expected: dict[str, dict[str, int]]
) -> None:
    assert largest(environments, limit) == expected
