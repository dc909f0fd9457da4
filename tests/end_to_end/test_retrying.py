"""What becomes of a delivery that is not answered with a 2xx."""

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from dispatcher.core import ids
from dispatcher.engine.upkeep import maintenance
from tests.end_to_end.inside import a_share_each
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import HANG, Answer, Receiver
from tests.waiting import until

EARLY = 0.05
"""Seconds: two clocks are compared here, and the daemon knows the one of the database by its answers."""
LATE = 7.0
"""Seconds: a busy machine, and still less than the default time to the first retry, 8 to 12."""
SOON = 1.3
"""Seconds until what one daemon learned about an endpoint is known to all."""


def delays(attempts: list[dict[str, Any]]) -> list[float]:
    """Seconds from the end of each attempt to the start of the next one."""
    return [
        (following["started_at"] - attempt["started_at"]).total_seconds()
        - attempt["duration_ms"] / 1000
        for attempt, following in itertools.pairwise(attempts)
    ]


async def test_two_failures_and_a_success_are_three_attempts_at_the_scheduled_times(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"base": "200ms", "factor": 3, "jitter": 0})
    receiver.answers = [Answer(500, body=b"out of order"), 500, 200]
    await story.insert()
    await story.ended(DELIVERED=1)
    requests = receiver.requests

    assert [r.headers["X-Dispatcher-Attempt"] for r in requests] == ["1", "2", "3"]
    assert (
        len(
            {
                (r.headers["webhook-id"], r.headers["X-Dispatcher-Delivery"], r.body)
                for r in requests
            }
        )
        == 1
    )
    rows = await story.attempts()
    for delay, scheduled in zip(delays(rows), (0.2, 0.6), strict=True):
        assert scheduled - EARLY <= delay <= scheduled + LATE
    assert [r["attempt"] for r in rows] == [1, 2, 3]
    assert [r["outcome"] for r in rows] == ["http", "http", "ok"]
    assert [r["status"] for r in rows] == [500, 500, 200]
    assert [r["state"] for r in rows] == [None, None, "DELIVERED"]
    assert rows[0]["response_body"] == b"out of order"
    for row, following, request in zip(rows, rows[1:], requests, strict=False):
        assert abs(row["started_at"].timestamp() - request.at) < LATE
        late = (following["started_at"] - row["next_at"]).total_seconds()
        assert -EARLY <= late <= LATE
    assert rows[-1]["next_at"] is None


async def test_a_delivery_fails_after_its_last_retry_with_every_attempt_recorded(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"retries": 2, "base": "20ms", "factor": 1})
    receiver.answers = [404, Answer(302, {"Location": "/elsewhere"}), 503]
    receiver.otherwise = 200
    await story.insert()
    await story.ended(FAILED=1)
    rows = await story.attempts()
    assert [(r["attempt"], r["status"], r["state"]) for r in rows] == [
        (1, 404, None),
        (2, 302, None),
        (3, 503, "FAILED"),
    ]
    assert all(r["error"] and r["response_headers"] for r in rows)
    assert len(receiver.requests) == 3


async def test_a_refused_connection_is_retried(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    async with Receiver() as gone:
        url, port = gone.url, gone.port
    await story.subscribe(url)
    await daemons.start(retry={"base": "50ms", "factor": 1, "retries": 50})
    await story.insert()
    await until(lambda: _attempted(story), "an attempt is on record")
    async with Receiver(port=port) as back:
        await back.wait_for(1)
        await story.ended(DELIVERED=1)
    assert (await story.attempts())[0]["outcome"] == "connect"


async def test_an_endpoint_has_a_schedule_and_a_timeout_of_its_own(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    policy = '{"retries":1,"base":0.3,"factor":1,"jitter":0,"cap":1}'
    webhook = await story.subscribe(receiver.url, retry=policy, timeout_ms=100)
    await daemons.start()
    receiver.answers = [HANG, 500]
    await story.insert()
    await receiver.wait_for(1)
    await story.change(webhook.id, timeout_ms=20_000)  # the second answer may be late
    await story.ended(FAILED=1)
    first, second = await story.attempts()
    assert (first["outcome"], second["outcome"]) == ("timeout", "http")
    assert 90 <= first["duration_ms"] <= 100 + LATE * 1000
    (delay,) = delays([first, second])
    assert 0.3 - EARLY <= delay <= 0.3 + LATE


async def test_retry_after_pauses_the_whole_endpoint(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"base": "10ms"})
    receiver.answers = [Answer(429, {"Retry-After": "1"})]
    await story.insert()
    await receiver.wait_for(1)
    await story.insert(5, first=2)  # new ones must wait as well
    refused, *later = await receiver.wait_for(7)
    for request in later:
        assert 1.0 - EARLY <= request.at - refused.at <= 1.0 + LATE
    await story.ended(DELIVERED=6)


async def test_retry_after_pauses_no_other_endpoint(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await story.subscribe(another.url)
    await daemons.start(retry={"base": "10ms"})
    receiver.answers = [Answer(429, {"Retry-After": "3600"})]
    await story.insert()
    await until(lambda: _attempted(story, 2), "the answer of each is on record")
    await story.ended(DELIVERED=1, PENDING=1)
    await story.insert(5, first=2)
    await another.wait_for(6)
    await story.ended(DELIVERED=6, PENDING=6)
    assert len(receiver.requests) == 1


async def test_a_pause_outlives_the_daemon_that_got_it(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start(retry={"base": "10ms"})
    wish = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) + 2, UTC)
    receiver.answers = [Answer(503, {"Retry-After": wish.strftime("%a, %d %b %Y %H:%M:%S GMT")})]
    await story.insert()
    await receiver.wait_for(1)
    await daemons.stop(daemon)
    await daemons.start()
    await story.insert(5, first=2)
    _, *later = await receiver.wait_for(7)
    assert min(r.at for r in later) >= wish.timestamp() - EARLY


@pytest.mark.long
async def test_a_pause_applies_to_every_daemon_also_to_one_that_joins(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    one = await daemons.start(retry={"base": "10ms"})
    other = await daemons.start(retry={"base": "10ms"})
    await story.insert(20)  # now both know the endpoint
    await story.ended(DELIVERED=20)
    receiver.answers = [Answer(429, {"Retry-After": "2"})]
    await story.insert(first=21)
    await receiver.wait_for(21)
    await asyncio.sleep(SOON)  # the other has read of the pause, which goes on
    third = await daemons.start(retry={"base": "10ms"})
    await a_share_each(one, other, third)
    await story.insert(20, first=22)
    refused, *later = (await receiver.wait_for(42))[20:]
    assert min(r.at for r in later) >= refused.at + 2 - EARLY


async def test_a_410_disables_and_holds_until_the_endpoint_is_enabled(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url, "user.*")
    await story.subscribe(another.url, "endpoint.disabled")
    await daemons.start(retry={"base": "500ms"})
    receiver.answers = [500, 410]
    await story.insert()
    await receiver.wait_for(1)
    await story.insert(first=2)
    await another.wait_for(1)  # sent to the endpoint that subscribed to it
    await until(lambda: _parked(story, 2), "both are held")
    await story.insert(first=3)  # fanned out in between: not for this endpoint
    await until(lambda: _fanned_out(story), "it is fanned out while the endpoint is disabled")
    await story.ended(PENDING=2, DELIVERED=1)
    assert len(receiver.requests) == 2

    await story.change(webhook.id, active=True, disabled_reason=None)
    await story.insert(first=4)
    await story.ended(DELIVERED=4)
    assert numbers(receiver.requests) == {1: 2, 2: 2, 4: 1}
    assert [r["state"] for r in await story.attempts()].count("DELIVERED") == 4


async def test_an_endpoint_is_disabled_only_after_it_failed_for_long(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url, "user.*")
    await story.subscribe(another.url, "endpoint.disabled", "delivery.exhausted")
    await story.connection.execute(
        "INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since, failed_at, failures)"
        " VALUES ($1, now() - interval '5 d 1 s', now() - interval '1 h', 4)",
        webhook.id,
    )
    receiver.otherwise = 500
    await daemons.start(retry={"retries": 0})
    await story.insert()
    notices = await another.wait_for(2)
    assert {r.headers["X-Dispatcher-Event"] for r in notices} == {
        "endpoint.disabled",
        "delivery.exhausted",
    }
    row = await story.connection.fetchrow(
        "SELECT * FROM dispatcher.endpoints WHERE id = $1", webhook.id
    )
    assert row is not None
    assert (row["active"], row["disabled_reason"]) == (False, "failing")


async def test_a_failure_after_the_delivery_was_cancelled_is_not_reported_as_exhausted(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url, "user.*")
    await story.subscribe(another.url, "delivery.exhausted")
    answers = asyncio.Event()
    receiver.answers = [Answer(500, after=answers)]
    receiver.otherwise = 500
    await daemons.start(retry={"retries": 0}, delivery={"timeout": "30s"})
    await story.insert()
    await receiver.wait_for(1)
    cancelled = await story.connection.fetchval(
        "DELETE FROM dispatcher.deliveries WHERE endpoint_id = $1 RETURNING id", webhook.id
    )
    answers.set()
    await until(story.attempts, "the late attempt is recorded")
    await story.insert(first=2)
    (request,) = await another.wait_for(1)
    assert orjson.loads(request.body)["data"]["delivery_id"] != ids.delivery_name(cancelled)
    await story.ended(FAILED=1, DELIVERED=1)
    assert len(another.requests) == 1


async def test_a_redirect_is_not_followed(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"base": "10ms"})
    receiver.answers = [
        Answer(code, {"Location": another.url}) for code in (301, 302, 303, 307, 308)
    ]
    await story.insert()
    await story.ended(DELIVERED=1)
    assert [r["status"] for r in await story.attempts()] == [301, 302, 303, 307, 308, 200]
    assert another.requests == []


async def test_deleting_an_endpoint_cancels_what_is_pending(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "CANCEL_SECONDS", 0.1)
    webhook = await story.subscribe(receiver.url)
    await daemons.start(retry={"base": "1h"})
    receiver.otherwise = 500
    await story.insert(3)
    await receiver.wait_for(3)
    await story.delete(webhook.id)
    await story.ended(CANCELLED=3)
    ends = [r for r in await story.attempts() if r["state"]]
    assert {(r["outcome"], r["error"]) for r in ends} == {("cancelled", "the endpoint was deleted")}
    assert len(receiver.requests) == 3


async def _attempted(story: Story, times: int = 1) -> bool:
    return len(await story.attempts()) >= times


async def _fanned_out(story: Story) -> bool:
    return not await story.connection.fetchval("SELECT EXISTS (SELECT 1 FROM dispatcher.inbox)")


async def _parked(story: Story, count: int) -> bool:
    return await story.count("parked") == count
