"""Observe bulk actions."""

import structlog

from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def step_failed(bulk_action: int, state: str, error: Exception) -> None:
    """Log that a step of a bulk action failed; `state` is FAILED if it is not tried again."""
    metrics.BULK_ACTION_FAILURES.inc()
    _log.error(
        "bulk action step failed",
        bulk_action=bulk_action,
        state=state,
        error=type(error).__name__,
    )
