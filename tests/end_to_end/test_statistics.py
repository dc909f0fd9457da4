"""The sums of the daemons are what they sent together."""

from collections.abc import Mapping
from typing import Any

import pytest

from dispatcher.services.overview import Overview
from dispatcher.store.session import Session
from tests.conftest import connected
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Answer, Receiver
from tests.waiting import until

SUMS = (
    "SELECT sum(attempts)::int AS attempts, sum(failed_attempts)::int AS failed_attempts, sum(delivered)::int AS delivered,"
    " sum(failed)::int AS failed, sum(duration_ms)::int AS duration_ms,"
    " sum((SELECT sum(n) FROM unnest(durations) AS n))::int AS durations"
)


async def summed_up(story: Story, **expected: int) -> None:
    """Returns once endpoints, environments and all of them together have come to these sums."""
    sources = (
        "endpoint_statistics",
        "environment_statistics WHERE span = 10 AND environment_id = 'env_default'",
        "environment_statistics WHERE span = 600 AND environment_id = '*'",
    )
    seen: list[Mapping[str, Any]] = []

    async def reached() -> bool:
        seen[:] = [
            dict(r)
            for s in sources
            for r in await story.connection.fetch(f"{SUMS} FROM dispatcher.{s}")
        ]
        return all(row[name] == value for row in seen for name, value in expected.items())

    try:
        await until(reached, "the sums")
    except TimeoutError:
        raise AssertionError(f"{seen}, not {expected}") from None
    assert seen[0] == seen[1] == seen[2]
    assert seen[0]["durations"] == seen[0]["attempts"]


async def test_statistics_equal_the_sums_of_the_attempts(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    receiver.answers = [500, 500, 404, Answer(503, delay=0.12)]
    await story.subscribe(receiver.url, "user.created")
    await daemons.start(retry={"retries": 5})
    await story.insert(30)
    await story.ended(DELIVERED=30)
    await summed_up(story, attempts=34, failed_attempts=4, delivered=30, failed=0)
    attempts = await story.attempts()
    total = await story.connection.fetchval(
        "SELECT sum(duration_ms) FROM dispatcher.endpoint_statistics"
    )
    assert total == sum(a["duration_ms"] for a in attempts)
    assert total >= 120


async def test_failed_deliveries_count_as_failed_in_statistics(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    receiver.otherwise = 500
    await story.subscribe(receiver.url, "user.created")
    await daemons.start(retry={"retries": 1, "base": "1ms"})
    await story.insert(5)
    await story.ended(FAILED=5)
    await summed_up(story, attempts=10, failed_attempts=10, delivered=0, failed=5)


@pytest.mark.long
async def test_statistics_of_two_daemons_add_up(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    first = await daemons.start()
    second = await daemons.start()
    session = Session(story.dsn, "test")
    overview = Overview(session)

    async def shared() -> bool:
        running = await overview.daemons()
        return [len(d.shards) for d in running] == [32, 32] and None not in [
            d.version for d in running
        ]

    await until(shared, "both have shards, and have told of themselves")
    await story.insert(200)
    await story.ended(DELIVERED=200)
    await summed_up(story, attempts=200, failed_attempts=0, delivered=200)
    summary = await overview.summary("env_default")
    assert sum(point.delivered for point in summary.hour) == 200
    assert summary.success_rate_1h == 1.0
    for daemon in (first, second):
        await daemons.stop(daemon)
    assert await overview.daemons() == ()
    await session.close()


async def test_a_drain_writes_the_last_statistics(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    for count in (1, 2, 3):
        await story.insert(40)
        await story.ended(DELIVERED=40 * count)
    await daemons.stop(daemon)
    total = await story.connection.fetchval(
        "SELECT sum(delivered) FROM dispatcher.endpoint_statistics"
    )
    assert total == 120


async def test_sending_continues_while_statistics_cannot_be_written(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start()
    async with connected(story.dsn) as another, another.transaction():
        await another.execute(
            "LOCK TABLE dispatcher.endpoint_statistics, dispatcher.environment_statistics, dispatcher.daemon_status"
            " IN ACCESS EXCLUSIVE MODE"
        )
        await story.insert(50)
        await story.ended(DELIVERED=50)
    await summed_up(story, attempts=50, delivered=50)
