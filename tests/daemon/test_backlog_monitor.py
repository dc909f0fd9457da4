"""The monitor reads every pause, and logs those that it names."""

import pytest
import structlog

from dispatcher.core.figures import PauseTotals
from dispatcher.daemon.backlog_monitor import BacklogMonitor
from dispatcher.store.session import Session
from dispatcher.telemetry import metrics
from tests.conftest import Connection
from tests.store import rows


async def paused(connection: Connection, environment_id: str, *, since: str | None) -> None:
    await connection.execute(
        "UPDATE dispatcher.environments SET paused_at = now() - $2::text::interval WHERE id = $1",
        environment_id,
        since,
    )


async def test_more_pauses_than_are_named_are_counted_and_no_false_end_is_logged(
    connection: Connection, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.services.pauses.NAMED_LIMIT", 2)
    monkeypatch.setattr("dispatcher.daemon.backlog_monitor.MEASURE_SECONDS", 0.0)
    for name in ("env_a", "env_m", "env_n", "env_z"):
        await rows.environment(connection, name)
    await paused(connection, "env_m", since="1 hour")
    await paused(connection, "env_n", since="1 hour")
    monitor = BacklogMonitor(session)

    async def logged() -> list[tuple[str, str]]:
        with structlog.testing.capture_logs() as lines:
            await monitor.run_once()
        return [(line["event"], line["environment"]) for line in lines]

    assert sorted(await logged()) == [
        ("sending is paused", "env_m"),
        ("sending is paused", "env_n"),
    ]
    await paused(connection, "env_a", since="1 minute")
    await paused(connection, "env_z", since="1 day")
    assert await logged() == []
    totals = monitor.paused
    assert isinstance(totals, PauseTotals)
    assert (totals.all_since, totals.environments) == (None, 4)
    assert metrics.REGISTRY.get_sample_value("dispatcher_paused_environments") == 4
    longest = metrics.REGISTRY.get_sample_value("dispatcher_longest_pause_seconds")
    assert longest is not None
    assert longest >= 86_400
    await paused(connection, "env_m", since=None)
    assert await logged() == [
        ("sending is paused", "env_a"),
        ("sending is resumed", "env_m"),
    ]
