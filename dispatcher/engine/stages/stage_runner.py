"""Run stages: each in a task of its own, which tries again after errors.

The runner tracks which stages make no progress, and logs when that begins and ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from dispatcher.engine.clock import boottime
from dispatcher.engine.stages.loop import BACKOFF_LIMIT_SECONDS, repeat
from dispatcher.engine.stages.stage_health import StageHealth
from dispatcher.store.errors import StatementTimeoutError, StoreError
from dispatcher.telemetry import observe

TRANSIENT = (StoreError, StatementTimeoutError)
"""Errors of the database, after which a pass is tried again."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A loop of the daemon.

    `run_once` is one pass; it returns the seconds until the stage wants to run again. `wake` ends
    this wait, but not the delay after a failed pass. `backoff_limit` is the longest such delay in
    seconds. `ends_daemon` is True if an unexpected error ends the daemon, because memory may be
    wrong after it. Any other stage tries again after any error, so that sending goes on.
    """

    name: str
    run_once: Callable[[], Awaitable[float]]
    wake: asyncio.Event | None = None
    backoff_limit: float = BACKOFF_LIMIT_SECONDS
    ends_daemon: bool = False


class StageRunner:
    """The running stages and their progress."""

    def __init__(self) -> None:
        self._health = StageHealth(boottime)
        self._failing: frozenset[str] = frozenset()
        self._errors: dict[str, str] = {}

    def start(self, group: asyncio.TaskGroup, stage: Stage) -> asyncio.Task[None]:
        """Start a task that runs the stage until it is cancelled; return the task."""
        loop = repeat(
            stage.run_once,
            transient=TRANSIENT if stage.ends_daemon else Exception,
            on_failure=partial(self._note_failure, stage.name),
            wake=stage.wake,
            backoff_limit=stage.backoff_limit,
            on_begin=partial(self._health.began, stage.name),
            on_success=partial(self._note_success, stage.name),
        )
        return group.create_task(loop, name=stage.name)

    def failing(self) -> Mapping[str, float]:
        """Return the seconds without progress of each stage that counts as failing."""
        return self._health.failing()

    def note_idle(self, stage: str) -> None:
        """Note that the current pass of a stage only waits for work."""
        self._health.note_idle(stage)

    def log_changes(self) -> None:
        """Log which stages began to fail, and which recovered, since the last call."""
        failing = self._health.failing()
        for stage in sorted(failing.keys() - self._failing):
            observe.stages.stuck(stage, failing[stage], self._errors.get(stage))
        for stage in sorted(self._failing - failing.keys()):
            observe.stages.recovered(stage)
        self._failing = frozenset(failing)

    def _note_success(self, stage: str) -> None:
        self._health.succeeded(stage)
        self._errors.pop(stage, None)

    def _note_failure(self, stage: str, error: Exception, retry_in: float) -> None:
        self._health.failed(stage)
        # This failure may have no line in the log: there is one a second over all stages.
        self._errors[stage] = str(error) if isinstance(error, TRANSIENT) else type(error).__name__
        if isinstance(error, TRANSIENT):
            observe.stages.database_failed(stage, error, retry_in)
        else:
            observe.stages.failed(stage, error, retry_in)
