"""Readiness is true to what goes on: it names the stage that gets nowhere, and heals with it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession

from dispatcher.daemon.daemon import Daemon
from dispatcher.telemetry import metrics
from tests.conftest import connected
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver
from tests.waiting import until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.engine.stages.stage_health.PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr("dispatcher.daemon.daemon.WATCH_SECONDS", 0.05)


async def readiness(daemon: Daemon) -> tuple[int, dict[str, Any]]:
    async with ClientSession(daemon.admin_address) as client, client.get("/readyz") as response:
        return response.status, await response.json()


async def names(daemon: Daemon, stage: str) -> bool:
    """Return True if the daemon is not ready because of `stage`."""
    status, answer = await readiness(daemon)
    return status == 503 and stage in answer["failing"] and answer["checks"][stage] is False


async def is_ready(daemon: Daemon) -> bool:
    status, answer = await readiness(daemon)
    return status == 200 and answer["failing"] == {} and all(answer["checks"].values())


@asynccontextmanager
async def locked(story: Story, table: str) -> AsyncIterator[None]:
    async with connected(story.dsn) as locker, locker.transaction():
        await locker.execute(f"LOCK TABLE dispatcher.{table} IN ACCESS EXCLUSIVE MODE")
        yield


def failures(stage: str) -> float:
    return (
        metrics.REGISTRY.get_sample_value("dispatcher_stage_failures_total", {"stage": stage})
        or 0.0
    )


async def test_a_healthy_daemon_passes_every_check(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    daemon = await daemons.start()
    checks = dict.fromkeys(["database", "listening", "running", "lease", "fanout", "record"], True)
    nothing = {"all": None, "environments": 0}
    expected = {"status": "ready", "checks": checks, "failing": {}, "paused": nothing}

    async def passes() -> bool:
        return await readiness(daemon) == (200, expected)

    await until(passes, "every check passes, and it has looked what is paused")


@pytest.mark.parametrize(("table", "stage"), [("inbox", "fanout"), ("daemons", "lease")])
async def test_a_lock_that_stops_a_stage_makes_the_daemon_not_ready_until_it_is_released(
    story: Story, daemons: Daemons, table: str, stage: str
) -> None:
    daemon = await daemons.start()
    failed = failures(stage)
    async with locked(story, table):
        await until(lambda: names(daemon, stage), f"{stage} is named")
        _, answer = await readiness(daemon)
        since = datetime.fromisoformat(answer["failing"][stage])
        assert abs((datetime.now(UTC) - since).total_seconds()) < 60
        assert answer["status"] == "not ready"
        await until(lambda: failures(stage) > failed, "its failures are counted")
    await until(lambda: is_ready(daemon), "it is ready again")


async def test_results_that_cannot_be_written_make_it_not_ready_and_idling_does_not(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    await asyncio.sleep(1.0)  # longer than a stage may get nowhere: it has nothing to record
    await until(lambda: is_ready(daemon), "it is ready")
    async with locked(story, "attempts"):
        await story.insert()
        await receiver.wait_for(1)
        await until(lambda: names(daemon, "record"), "record is named")
    await until(lambda: is_ready(daemon), "it is ready again")
    await story.ended(DELIVERED=1)


async def test_a_revoked_right_makes_the_daemon_not_ready_until_it_is_granted_again(
    story: Story, daemons: Daemons
) -> None:
    if "postgres@" not in story.dsn:
        pytest.skip("another role may want a password")
    role = f"daemon_{secrets.token_hex(4)}"
    execute = story.connection.execute
    await execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA dispatcher TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA dispatcher TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA dispatcher TO {role};"
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dispatcher TO {role}"
    )
    limited = Daemons(story.dsn.replace("postgres@", f"{role}@"), daemons.cipher)
    try:
        daemon = await limited.start()
        await execute(f"REVOKE ALL ON dispatcher.inbox FROM {role}")
        await until(lambda: names(daemon, "fanout"), "fan-out is named")
        await execute(f"GRANT ALL ON dispatcher.inbox TO {role}")
        await until(lambda: is_ready(daemon), "it is ready again")
    finally:
        await limited.end()
        await execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
