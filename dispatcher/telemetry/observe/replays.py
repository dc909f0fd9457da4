"""Observe replays."""

import structlog

from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def step_failed(replay: int, state: str, error: Exception) -> None:
    """Log that a step of a replay failed; `state` is FAILED if it is not tried again."""
    metrics.REPLAY_FAILURES.inc()
    _log.error("replay step failed", replay=replay, state=state, error=type(error).__name__)


def dropped_events_skipped(replay: int) -> None:
    """Log that a replay skipped events, because their partition is about to be dropped."""
    _log.warning("replay skipped events that are about to be dropped", replay=replay)
