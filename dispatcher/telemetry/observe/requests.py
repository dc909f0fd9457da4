"""Observe requests to the admin port."""

import structlog

from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request to the admin port; `route` is the pattern that its path matched."""
    metrics.REQUESTS.labels(method, route, str(status)).inc()
    metrics.REQUEST_DURATION.observe(seconds)


def failed(request_id: str, error: Exception) -> None:
    """Log that a request ended with an error of our own; its answer names `request_id`."""
    _log.error("request failed", request=request_id, error=type(error).__name__, exc_info=error)
