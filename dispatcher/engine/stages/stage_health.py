"""Track which stages make no progress, and since when; readiness uses it.

A stage fails from the first failed pass of a streak until a pass succeeds. A stage whose pass takes
too long, for example in a stuck statement, counts as failing since that pass began. A pass that
only waits for work is not late (`note_idle`). Pure: the clock is an argument.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

PATIENCE_SECONDS = 10.0
"""A stage without progress for longer counts as failing.

The daemon is not ready while one of the VITAL_STAGES (`daemon.py`) counts as failing.
"""


@dataclass(slots=True)
class _Stage:
    began_at: float | None = None
    failing_since: float | None = None

    def stuck_since(self) -> float | None:
        """Return since when it may have made no progress; None while it waits for a pass."""
        return self.began_at if self.failing_since is None else self.failing_since


class StageHealth:
    """The state of all stages; `now` is a clock in seconds that never goes back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._stages: dict[str, _Stage] = {}

    def began(self, stage: str) -> None:
        """Note that a pass begins."""
        self._stages.setdefault(stage, _Stage()).began_at = self._now()

    def succeeded(self, stage: str) -> None:
        """Note that a pass succeeded."""
        self._stages[stage] = _Stage()

    def failed(self, stage: str) -> None:
        """Note that a pass failed."""
        state = self._stages.setdefault(stage, _Stage())
        if state.failing_since is None:
            state.failing_since = self._now() if state.began_at is None else state.began_at
        state.began_at = None

    def note_idle(self, stage: str) -> None:
        """Note that the current pass only waits for work: it counts as if it began now."""
        state = self._stages.setdefault(stage, _Stage())
        if state.began_at is not None:
            state.began_at = self._now()

    def failing(self) -> Mapping[str, float]:
        """Return the seconds without progress of each stage for which PATIENCE_SECONDS are over."""
        now = self._now()
        since = {name: state.stuck_since() for name, state in self._stages.items()}
        return {
            name: now - at
            for name, at in since.items()
            if at is not None and now - at > PATIENCE_SECONDS
        }
