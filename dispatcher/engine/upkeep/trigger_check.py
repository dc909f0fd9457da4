"""Check that the triggers of the events table fire, and remember since when one does not."""

from collections.abc import Callable, Mapping

from dispatcher.engine.clock import boottime
from dispatcher.store.queries.triggers import Triggers
from dispatcher.telemetry import observe

REPEAT_LOG_SECONDS = 3600.0
"""Time between two log lines about the same disabled triggers."""


class TriggerCheck:
    """The triggers that do not fire; `now` is a clock in seconds that never goes back."""

    def __init__(self, triggers: Triggers, now: Callable[[], float] = boottime) -> None:
        self._triggers = triggers
        self._now = now
        self._seen_at: dict[str, float] = {}
        self._logged_at = float("-inf")

    async def run(self) -> None:
        """Read which triggers do not fire. Log changes, and once an hour that some do not."""
        names, now = await self._triggers.silent(), self._now()
        has_changed = set(names) != self._seen_at.keys()
        self._seen_at = {name: self._seen_at.get(name, now) for name in names}
        observe.maintenance.triggers_checked(len(names))
        if has_changed and not names:
            observe.maintenance.triggers_enabled()
        if names and (has_changed or now - self._logged_at >= REPEAT_LOG_SECONDS):
            self._logged_at = now
            observe.maintenance.triggers_disabled(names)

    def failing(self) -> Mapping[str, float]:
        """Return for how many seconds each trigger is known not to fire, by `trigger <name>`."""
        now = self._now()
        return {f"trigger {name}": now - seen_at for name, seen_at in self._seen_at.items()}
