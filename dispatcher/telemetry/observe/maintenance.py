"""Observe maintenance."""

from collections.abc import Sequence

import structlog

from dispatcher.core import remedies
from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def step_failed(step: str, error: Exception, retry_in: float) -> None:
    """Log that a step of maintenance failed; it is tried again in `retry_in` seconds."""
    metrics.MAINTENANCE_FAILURES.labels(step).inc()
    _log.error(
        "maintenance step failed",
        step=step,
        error=f"{type(error).__name__}: {error}",
        retry_in=round(retry_in, 3),
    )


def triggers_checked(disabled: int) -> None:
    """Set the metric of the triggers that do not fire."""
    metrics.TRIGGERS_DISABLED.set(disabled)


def triggers_disabled(names: Sequence[str]) -> None:
    """Log the triggers that are disabled. While one is, inserted events are not sent."""
    _log.error(
        "triggers are disabled, events are not sent",
        triggers=list(names),
        remedy=remedies.of_disabled_triggers(names),
    )


def triggers_enabled() -> None:
    """Log that all triggers fire again."""
    _log.info("triggers are enabled again")


def partitions_created(names: Sequence[str]) -> None:
    """Log partitions that were created."""
    _log.info("partitions created", partitions=list(names))


def partition_dropped(name: str) -> None:
    """Log a partition that was dropped, as its rows are older than retention."""
    _log.info("partition dropped", partition=name)
