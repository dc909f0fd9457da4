"""The wall clock of a daemon's machine is wrong: only the database's clock decides."""

import time
from types import SimpleNamespace

import pytest

from dispatcher.engine import clock
from tests.end_to_end.stories import Daemons, Story
from tests.store import rows
from tests.waiting import until

MONTHS = 90 * 86_400


@pytest.mark.parametrize("wrong_by", [MONTHS, -MONTHS])
async def test_a_wrong_wall_clock_expires_nothing(
    story: Story, daemons: Daemons, monkeypatch: pytest.MonkeyPatch, wrong_by: int
) -> None:
    endpoint = (await story.subscribe("http://127.0.0.1:9999/hook")).id
    kept = await rows.delivery(story.connection, endpoint, attempt=1, due_in=3_600)
    wall_clock = SimpleNamespace(time=lambda: time.time() + wrong_by)
    monkeypatch.setattr(clock, "time", wall_clock)
    daemon = await daemons.start()
    first, *_ = daemon._engine.maintenance._steps
    await until(lambda: first.due_at > float("-inf"), "maintenance has run")
    assert [row["id"] for row in await rows.deliveries(story.connection)] == [kept.id]
    assert daemon._engine.clock.now() == pytest.approx(time.time(), abs=60)
