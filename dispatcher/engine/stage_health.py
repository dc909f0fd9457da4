"""Which stages get nowhere, and since when: what readiness asks. Pure, but for the clock it is given.

A stage fails from the first failed pass of a streak until a pass succeeds. One whose pass is not over
for long (it is stuck in a statement) counts as failing since that pass began, unless it rests: then
it waits for work, and nothing is late.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PATIENCE_SECONDS = 10.0
"""A stage that has got nowhere for longer makes the daemon not ready."""


@dataclass(slots=True)
class _Stage:
    began_at: float | None = None
    failing_since: float | None = None

    def stuck_since(self) -> float | None:
        """When it last may have got somewhere; None while it waits between two passes."""
        return self.began_at if self.failing_since is None else self.failing_since


class StageHealth:
    """`now` is a clock in seconds that never goes back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._stages: dict[str, _Stage] = {}

    def began(self, stage: str) -> None:
        """A pass begins."""
        self._stages.setdefault(stage, _Stage()).began_at = self._now()

    def succeeded(self, stage: str) -> None:
        """A pass is over, and did what it should."""
        self._stages[stage] = _Stage()

    def failed(self, stage: str) -> None:
        """A pass is over, and failed."""
        state = self._stages.setdefault(stage, _Stage())
        if state.failing_since is None:
            state.failing_since = self._now() if state.began_at is None else state.began_at
        state.began_at = None

    def rests(self, stage: str) -> None:
        """The pass under way only waits for work: it is as if it began now."""
        state = self._stages.setdefault(stage, _Stage())
        if state.began_at is not None:
            state.began_at = self._now()

    def failing(self) -> Mapping[str, float]:
        """Return the stages that have got nowhere for PATIENCE_SECONDS, with the seconds since then."""
        now = self._now()
        since = {name: state.stuck_since() for name, state in self._stages.items()}
        return {
            name: now - at
            for name, at in since.items()
            if at is not None and now - at > PATIENCE_SECONDS
        }
