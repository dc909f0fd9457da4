"""Observe pauses of sending."""

from datetime import datetime

import structlog

_log = structlog.get_logger("dispatcher")


def paused(environment_id: str | None, since: datetime, by: str | None) -> None:
    """Log that sending is paused for an environment; for all if `environment_id` is None."""
    _log.warning(
        "sending is paused",
        environment=environment_id or "all environments",
        since=since.isoformat(timespec="seconds"),
        by=by or "unknown",
        remedy="resume in the dashboard, by POST /api/resume, or by: dispatcher resume "
        + (f"--environment {environment_id}" if environment_id else "--all"),
    )


def resumed(environment_id: str | None) -> None:
    """Log that sending is resumed for an environment; for all if `environment_id` is None."""
    _log.info("sending is resumed", environment=environment_id or "all environments")


def applied() -> None:
    """Log that `delivery.paused` of the configuration has paused sending."""
    _log.warning(
        "delivery.paused is set: sending is paused for all environments, by every daemon",
        remedy="resume by: dispatcher resume --all; and remove delivery.paused",
    )


def applied_before(paused_at: datetime | None, resumed_at: datetime | None, by: str | None) -> None:
    """Log that the configuration still asks for a pause that was applied once already.

    `paused_at` is None if sending was resumed since then.
    """
    if paused_at is not None:
        _log.warning(
            "delivery.paused is set, and sending is paused since it was applied",
            since=paused_at.isoformat(timespec="seconds"),
        )
        return
    _log.warning(
        "delivery.paused is set; sending was resumed, not pausing again",
        resumed_at=resumed_at and resumed_at.isoformat(timespec="seconds"),
        by=by or "unknown",
        remedy="remove delivery.paused from the configuration",
    )
