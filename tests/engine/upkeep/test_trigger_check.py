"""Disabled triggers are logged when they change and each hour, and counted from when they were seen."""

from collections.abc import Sequence

import structlog.testing

from dispatcher.engine.upkeep.trigger_check import REPEAT_LOG_SECONDS, TriggerCheck
from dispatcher.store.queries.triggers import Triggers


class Scripted(Triggers):
    """Triggers of which the test says which do not fire."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def silent(self) -> Sequence[str]:
        return self.names


async def test_a_disabled_trigger_is_logged_when_that_changes_and_each_hour() -> None:
    triggers, now = Scripted(), [0.0]
    check = TriggerCheck(triggers, lambda: now[0])
    steps = [
        (0.0, [], []),
        (15.0, ["events_inserted"], ["triggers are disabled, events are not sent"]),
        (30.0, ["events_inserted"], []),
        (
            15.0 + REPEAT_LOG_SECONDS,
            ["events_inserted"],
            ["triggers are disabled, events are not sent"],
        ),
        (4000.0, [], ["triggers are enabled again"]),
        (4015.0, [], []),
    ]
    for at, names, expected in steps:
        now[0], triggers.names = at, names
        with structlog.testing.capture_logs() as lines:
            await check.run()
        assert [line["event"] for line in lines] == expected, at


async def test_the_time_since_a_trigger_was_seen_disabled_is_kept() -> None:
    triggers, now = Scripted(), [100.0]
    check = TriggerCheck(triggers, lambda: now[0])
    triggers.names = ["event_checked"]
    await check.run()
    now[0] = 115.0
    await check.run()
    assert check.failing() == {"trigger event_checked": 15.0}
    triggers.names = []
    await check.run()
    assert check.failing() == {}
