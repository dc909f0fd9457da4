"""Observe the database: outages, connections and its clock."""

from time import monotonic

import structlog

from dispatcher.telemetry import metrics

OUTAGE_LOG_SECONDS = 1.0
"""Time between two log lines of an outage. Otherwise every stage would log each of its failures."""

_log = structlog.get_logger("dispatcher")


class _LogLimit:
    """A limit of one log line in OUTAGE_LOG_SECONDS."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def allows(self, now: float) -> bool:
        """Return True if a line may be logged now, and count it as logged."""
        is_allowed = now - self._logged_at >= OUTAGE_LOG_SECONDS
        if is_allowed:
            self._logged_at = now
        return is_allowed


_outage_lines = _LogLimit()


def unavailable(stage: str, error: Exception, retry_in: float) -> None:
    """Count a failure of the database in a stage, and log it at most once a second.

    `retry_in` is in seconds.
    """
    metrics.STORE_FAILURES.labels(stage).inc()
    if _outage_lines.allows(monotonic()):
        _log.warning(
            "database unavailable", stage=stage, error=str(error), retry_in=round(retry_in, 3)
        )


def connection_problem(message: str) -> None:
    """Log what is wrong with a connection: an ignored setting, or that it cannot be opened yet."""
    _log.warning("database connection", problem=message)


def setting_changed(key: str, former: int | bool, new: int | bool) -> None:
    """Log that the database had another value of a configured setting, which producers read."""
    _log.info("setting changed", key=key, former=former, new=new)


def clock_stepped(seconds: float) -> None:
    """Log that the database's clock was set by `seconds`, negative if it was set back."""
    metrics.CLOCK_STEPS.inc()
    is_ahead = seconds > 0
    _log.warning(
        "database clock stepped",
        seconds=round(seconds, 3),
        consequence="retries come earlier" if is_ahead else "retries are moved to keep their delay",
    )


def retries_moved(seconds: float, deliveries: int) -> None:
    """Log that the next attempts of `deliveries` deliveries were moved `seconds` earlier.

    The database's clock had been set back by as much.
    """
    _log.info("deliveries rescheduled", seconds=round(seconds, 3), deliveries=deliveries)
