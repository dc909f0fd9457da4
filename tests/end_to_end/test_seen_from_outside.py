"""What an operator sees: gauges of what waits and of each daemon, and that sending is paused."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession

from dispatcher.core.figures import PauseTotals
from dispatcher.daemon.daemon import Daemon
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.pauses import Pauses
from dispatcher.store.session import Session
from dispatcher.telemetry import metrics
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import RawReceiver, Receiver, read_request
from tests.waiting import until

NO_PAUSE = PauseTotals(None, 0, None)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.daemon.backlog_monitor.PAUSES_SECONDS", 0.05)
    monkeypatch.setattr("dispatcher.daemon.backlog_monitor.MEASURE_SECONDS", 0.1)
    monkeypatch.setattr("dispatcher.daemon.daemon.WATCH_SECONDS", 0.05)
    monkeypatch.setattr("dispatcher.daemon.daemon.LAG_SECONDS", 0.01)


@pytest.fixture(autouse=True)
def unmeasured() -> None:
    """Forget what a daemon of another test has measured: the gauges are the process's."""
    for gauge in (metrics.INBOX, metrics.OLDEST_DUE, metrics.PAUSED_ENVIRONMENTS):
        gauge.set(-1)
    for gauge in (metrics.PAUSED_ALL, metrics.PAUSED_SECONDS, metrics.QUARANTINE):
        gauge.set(-1)
    for state in ("due", "scheduled", "held"):
        metrics.PENDING.labels(state).set(-1)
    for state in ("active", "disabled", "failing"):
        metrics.ENDPOINTS.labels(state).set(-1)


def value(name: str, **labels: str) -> float:
    sample = metrics.REGISTRY.get_sample_value(f"dispatcher_{name}", labels)
    assert sample is not None, name
    return sample


def pending() -> dict[str, float]:
    states = ("due", "scheduled", "held")
    return {state: value("pending_deliveries", state=state) for state in states}


async def waits(**counts: float) -> None:
    """Returns once so many are counted in each state."""
    expected = {"due": 0.0, "scheduled": 0.0, "held": 0.0, **counts}
    try:
        await until(lambda: pending() == expected, "they are counted")
    except TimeoutError:
        raise AssertionError(f"{pending()}, not {expected}") from None


async def change(story: Story, environment: str | None, *, paused: bool) -> None:
    session = Session(story.dsn, "test")
    async with session.transaction() as opened:
        pauses = Pauses(opened, Actor("cli:somebody"))
        await (pauses.pause(environment) if paused else pauses.resume(environment))
    await session.close()


async def readiness(daemon: Daemon) -> tuple[int, Mapping[str, Any]]:
    async with ClientSession(daemon.admin_address) as client, client.get("/readyz") as response:
        return response.status, await response.json()


# ── what waits ──────────────────────────────────────────────────────────────────────────────────


async def test_a_due_delivery_has_an_age_until_it_is_delivered(
    story: Story, daemons: Daemons
) -> None:
    answered = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await answered.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with RawReceiver(answer) as receiver:
        await story.subscribe(receiver.url, max_in_flight=1)
        await daemons.start(delivery={"timeout": "30s"})
        await story.insert(3)
        await waits(due=3)
        await until(lambda: value("in_flight_deliveries") == 1, "one is under way")
        await until(lambda: value("oldest_due_delivery_age_seconds") > 0.2, "they have an age")
        answered.set()
        await story.ended(DELIVERED=3)
    await waits()
    assert value("oldest_due_delivery_age_seconds") == 0
    assert value("inbox_events") == 0
    await until(lambda: value("in_flight_deliveries") == 0, "none is under way")
    await until(lambda: value("unrecorded_results") == 0, "all are recorded")


@pytest.mark.long
async def test_deliveries_of_a_paused_environment_are_held_and_not_due(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start()
    await change(story, "env_default", paused=True)
    await story.insert(4)
    await waits(held=4)
    assert value("oldest_due_delivery_age_seconds") == 0
    await until(lambda: value("paused_environments") == 1, "the pause is measured")
    assert value("paused_all") == 0
    await until(lambda: value("longest_pause_seconds") > 0, "it lasts")
    of_environment = metrics.REGISTRY.collect()
    samples = {
        (sample.labels["environment"], sample.labels["state"]): sample.value
        for metric in of_environment
        for sample in metric.samples
        if sample.name == "dispatcher_environment_pending_deliveries"
    }
    assert samples == {("env_default", "held"): 4}
    await change(story, "env_default", paused=False)
    await story.ended(DELIVERED=4)
    await waits()
    await until(lambda: value("paused_environments") == 0, "the end of the pause is measured")


@pytest.mark.long
async def test_retries_count_as_scheduled_and_deliveries_of_a_disabled_webhook_as_held(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    receiver.otherwise = 500
    await daemons.start(retry={"base": "1h"})
    await story.insert(2)
    await waits(scheduled=2)
    assert value("oldest_due_delivery_age_seconds") == 0
    await until(lambda: value("endpoints", state="failing") == 1, "it is seen to fail")
    await story.change(webhook.id, active=False)
    await waits(held=2)
    await until(lambda: value("endpoints", state="disabled") == 1, "it is counted")


# ── a daemon ────────────────────────────────────────────────────────────────────────────────────


def late() -> float:
    return value("event_loop_lag_seconds_count") - value("event_loop_lag_seconds_bucket", le="0.25")


async def test_a_loop_that_is_blocked_is_seen_to_lag(story: Story, daemons: Daemons) -> None:
    await daemons.start()
    before = late()
    await asyncio.sleep(0.05)  # the loop is measured first
    time.sleep(0.6)  # noqa: ASYNC251 - what no program should do
    await until(lambda: late() > before, "the lag is counted")


@pytest.mark.long
async def test_gauges_of_the_daemon_drop_while_the_database_is_away(
    story: Story, daemons: Daemons
) -> None:
    daemon = await daemons.start()

    def vital() -> tuple[float, float, float]:
        return value("lease_valid"), value("listener_connected"), value("shards_owned")

    await until(lambda: vital() == (1, 1, 64), "all is well")
    await until(lambda: value("database_connections", state="idle") >= 3, "most are idle")
    measured = value("measured_timestamp_seconds")
    async with story.unreachable():
        await until(lambda: vital() == (0, 0, 0), "nothing is left")
        assert (await readiness(daemon))[0] == 503
    await until(lambda: vital() == (1, 1, 64), "all is well again")
    await until(lambda: value("measured_timestamp_seconds") > measured, "it measures again")


# ── pauses ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_pause_is_seen_in_the_log_and_in_readiness(story: Story, daemons: Daemons) -> None:
    with structlog.testing.capture_logs() as lines:
        daemon = await daemons.start()
        await change(story, None, paused=True)
        await until(lambda: value("paused_all") == 1, "the pause is measured")
        # Pauses are read just before: one that begins between the two is in the next reading.
        await until(lambda: daemon._backlog_monitor.paused != NO_PAUSE, "the pause is read")
        status, answer = await readiness(daemon)
        assert (status, answer["status"]) == (200, "ready")
        assert answer["paused"]["environments"] == 0
        since = answer["paused"]["all"]
        assert since is not None
        await change(story, None, paused=False)
        await until(lambda: value("paused_all") == 0, "so is its end")
        await until(lambda: daemon._backlog_monitor.paused == NO_PAUSE, "its end is read")
        assert (await readiness(daemon))[1]["paused"] == {"all": None, "environments": 0}
    entries = [line for line in lines if line["event"].startswith("sending is")]
    assert [(line["event"], line["environment"]) for line in entries] == [
        ("sending is paused", "all environments"),
        ("sending is resumed", "all environments"),
    ]
    assert (entries[0]["by"], entries[0]["since"]) == ("cli:somebody", since)
    assert entries[0]["remedy"].endswith("dispatcher resume --all")


async def test_a_daemon_that_starts_while_an_environment_is_paused_says_so(
    story: Story, daemons: Daemons
) -> None:
    await change(story, "env_default", paused=True)
    with structlog.testing.capture_logs() as lines:
        daemon = await daemons.start()
        await until(lambda: daemon._backlog_monitor.paused is not None, "it has looked")
    (entry,) = [line for line in lines if line["event"] == "sending is paused"]
    assert (entry["environment"], entry["by"]) == ("env_default", "cli:somebody")
    assert entry["remedy"].endswith("dispatcher resume --environment env_default")
    paused = (await readiness(daemon))[1]["paused"]
    assert paused == {"all": None, "environments": 1}


async def test_a_pause_left_in_the_configuration_does_not_stop_sending_again(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    with structlog.testing.capture_logs() as lines:
        daemon = await daemons.start(delivery={"paused": True})
        await until(lambda: value("paused_all") == 1, "all is paused")
        await story.insert()
        await waits(held=1)
        await daemons.stop(daemon)
    assert receiver.requests == []
    assert any(
        line["event"].startswith("delivery.paused is set: sending is paused") for line in lines
    )

    await change(story, None, paused=False)
    with structlog.testing.capture_logs() as lines:
        await daemons.start(delivery={"paused": True})
        await story.ended(DELIVERED=1)
    (entry,) = [line for line in lines if line["event"].startswith("delivery.paused")]
    assert entry["event"] == "delivery.paused is set; sending was resumed, not pausing again"
    assert entry["by"] == "cli:somebody"


async def test_a_daemon_without_the_setting_forgets_that_it_was_applied(
    story: Story, daemons: Daemons
) -> None:
    await daemons.stop(await daemons.start(delivery={"paused": True}))
    await change(story, None, paused=False)

    async def applied() -> bool:
        return bool(await story.connection.fetchval("SELECT paused_in FROM dispatcher.settings"))

    assert await applied()
    daemon = await daemons.start()

    async def forgotten() -> bool:
        return not await applied()

    await until(forgotten, "it is forgotten")
    await daemons.stop(daemon)
    await daemons.start(delivery={"paused": True})
    await until(lambda: value("paused_all") == 1, "it is applied again")


@pytest.mark.long
async def test_a_pause_from_one_daemon_applies_to_both(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start()
    await daemons.start(delivery={"paused": True})
    await story.insert(20)
    await waits(held=20)
    assert receiver.requests == []
    await change(story, None, paused=False)
    await story.ended(DELIVERED=20)
