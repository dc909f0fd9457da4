"""Observe the stages: failed passes, and stages without progress."""

import structlog

from dispatcher.telemetry import metrics
from dispatcher.telemetry.observe import database

_log = structlog.get_logger("dispatcher")


def database_failed(stage: str, error: Exception, retry_in: float) -> None:
    """Count a pass that failed because of the database; it is tried again in `retry_in` seconds."""
    metrics.STAGE_FAILURES.labels(stage).inc()
    database.unavailable(stage, error, retry_in)


def failed(stage: str, error: Exception, retry_in: float) -> None:
    """Log a pass that failed for another reason; it is tried again in `retry_in` seconds."""
    metrics.STAGE_FAILURES.labels(stage).inc()
    _log.error(
        "stage failed",
        stage=stage,
        error=type(error).__name__,
        retry_in=round(retry_in, 3),
        exc_info=error,
    )


def stuck(stage: str, seconds: float, error: str | None) -> None:
    """Log that a stage has made no progress for `seconds`; /readyz names it in `failing`.

    `error` is the one of its last pass, None if that pass has not ended.
    """
    _log.error(
        "stage makes no progress",
        stage=stage,
        seconds=round(seconds, 1),
        error=error or "none: a pass has begun and does not end",
        remedy="run dispatcher check; if the database does not answer, or a statement waits for a"
        " lock (pg_stat_activity), mend that. The stage goes on by itself",
    )


def recovered(stage: str) -> None:
    """Log that a stage without progress has had a successful pass."""
    _log.info("stage recovered", stage=stage)
