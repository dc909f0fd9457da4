"""The verdict: in one line whether all is well, and which webhooks are not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dispatcher.core.figures import Backlog, Inbox, Waiting, WebhookCounts
from dispatcher.services.backlog import Backlogs
from dispatcher.services.verdict import Verdicts, problems
from dispatcher.store.pool import Pool
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.statistics import Statistics
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.rows import FAILED, RETRIED, result

NOW = datetime(2026, 11, 29, 17, 0, tzinfo=UTC)
NOTHING = Backlog(
    at=NOW,
    pending=Waiting(0, 0, 0, more=(), oldest_due_seconds=0.0),
    environments={},
    inbox=Inbox(0, more=False, oldest_seconds=0.0),
    endpoints=WebhookCounts(1, 0, 0),
    quarantined=0,
    paused_at=None,
    all_paused_at=None,
)
BEHIND = Waiting(1_200, 5, 7, more=("due",), oldest_due_seconds=245.0)


@pytest.mark.parametrize(
    ("backlog", "unwell", "is_running", "starts"),
    [
        (NOTHING, 0, True, []),
        (NOTHING, 0, False, ["No daemon is running"]),
        (NOTHING, 1, True, ["1 webhook fails."]),
        (replace(NOTHING, quarantined=3), 12, True, ["12 webhooks fail.", "3 entries are in quar"]),
        (
            replace(NOTHING, pending=BEHIND),
            0,
            True,
            ["Sending is behind by 4 min: more than 1,200 deliveries are due"],
        ),
        (
            replace(NOTHING, pending=Waiting(1, 0, 0, more=(), oldest_due_seconds=12.0)),
            0,
            True,
            ["Sending is behind by 12 s: 1 delivery is due and not sent."],
        ),
        (
            replace(NOTHING, pending=Waiting(3, 0, 9, more=(), oldest_due_seconds=2.0)),
            0,
            True,
            [],
        ),
        (
            replace(NOTHING, inbox=Inbox(5, more=False, oldest_seconds=90.0)),
            0,
            True,
            ["Events have waited 2 min for fan-out."],
        ),
        (
            replace(NOTHING, paused_at=NOW, pending=Waiting(0, 0, 7, (), 0.0)),
            0,
            True,
            ["Sending has been paused since 2026-11-29 17:00:00 UTC, and 7 wait."],
        ),
        (
            replace(NOTHING, paused_at=NOW, pending=Waiting(0, 0, 7, ("held",), 0.0)),
            0,
            True,
            ["Sending has been paused since 2026-11-29 17:00:00 UTC, and more than 7 wait."],
        ),
    ],
)
def test_problems_are_listed_the_most_urgent_first(
    backlog: Backlog, unwell: int, is_running: bool, starts: list[str]
) -> None:
    sentences = problems(backlog, unwell, is_running=is_running)
    assert len(sentences) == len(starts)
    assert all(
        sentence.startswith(start) for sentence, start in zip(sentences, starts, strict=True)
    )


async def fails(connection: Connection, endpoint: object, minutes: int) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since, failed_at, failures)"
        " VALUES ($1, now() - make_interval(mins => $2), now(), 5)",
        endpoint,
        minutes,
    )


async def test_webhooks_that_fail_are_listed_with_their_last_answer(
    connection: Connection, dsn: str, pool: Pool
) -> None:
    await rows.environment(connection, "env_other")
    late, early, well, gone = [await rows.endpoint(connection) for _ in range(4)]
    await fails(connection, late, 5)
    await fails(connection, early, 50)
    await fails(connection, gone, 60)
    await connection.execute(
        "UPDATE dispatcher.endpoints SET active = false, disabled_reason = 'gone' WHERE id = $1",
        gone,
    )
    session = Session(dsn, "test")
    ended = await rows.delivery(connection, early)
    pending = await rows.delivery(connection, late)
    await rows.delivery(connection, late)
    await rows.delivery(connection, well)
    await Deliveries(session).record([result(ended, FAILED), result(pending, RETRIED)])
    await session.close()
    verdict = await Verdicts(pool).read("env_default")
    assert verdict.unwell_number == 3
    assert [
        (webhook.id, webhook.active, webhook.code, webhook.why, webhook.waiting)
        for webhook in verdict.unwell
    ] == [
        (early, True, "timeout", "no answer within 15 s", 0),
        (late, True, "500", "the endpoint answered 500", 2),
        (gone, False, "", "answered 410 Gone", 0),
    ]
    since = verdict.unwell[0].since
    assert since is not None
    assert verdict.unwell[2].since is None, "it does not fail any more: nothing is sent to it"
    assert timedelta(minutes=49) < datetime.now(UTC) - since < timedelta(minutes=52)
    assert "3 webhooks fail." in verdict.problems
    assert (await Verdicts(pool).read("env_other")).unwell == ()
    assert (await Verdicts(pool).read(None)).unwell_number == 3


async def test_the_backlog_is_sampled_once_a_minute_and_read_as_a_series(
    connection: Connection, pool: Pool
) -> None:
    await rows.environment(connection, "env_other")
    endpoint = await rows.endpoint(connection)
    await rows.delivery(connection, endpoint, due_in=3600.0)
    await rows.delivery(connection, endpoint, due_in=-30.0)
    statistics = Statistics(pool)
    await statistics.sample_backlog(100)
    await rows.delivery(connection, endpoint)
    kept = await connection.fetch(
        "SELECT environment_id, due, scheduled, held, lag_seconds FROM dispatcher.backlog_samples ORDER BY 1"
    )
    assert [tuple(row)[:4] for row in kept] == [("*", 1, 1, 0), ("env_default", 1, 1, 0)]
    assert all(29 < row["lag_seconds"] < 60 for row in kept)
    at: datetime = await connection.fetchval("SELECT max(bucket) FROM dispatcher.backlog_samples")
    seconds = [int(at.timestamp()) - 60, int(at.timestamp())]
    for whose, due in (("env_default", 1), ("env_other", 0), (None, 1)):
        before, now = await Backlogs(pool).series(whose, 60, seconds)
        assert (before.due, now.due) == (None, due)
    await statistics.sample_backlog(100)
    await connection.execute(
        "UPDATE dispatcher.backlog_samples SET bucket = bucket - interval '26 h'"
    )
    await statistics.prune(100)
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.backlog_samples") == 0
