"""Observe endpoints: those that cannot be used, those that were disabled, and their statistics."""

from uuid import UUID

import structlog

_log = structlog.get_logger("dispatcher")


def secret_unreadable(endpoint_id: UUID) -> None:
    """Log that a signing secret cannot be decrypted; nothing is sent to the endpoint."""
    _log.error(
        "signing secret cannot be decrypted, deliveries are held",
        endpoint_id=str(endpoint_id),
        remedy="start the daemon with the key that encrypted it, or rotate the webhook's secret",
    )


def malformed(endpoint_id: UUID, error: Exception) -> None:
    """Log that the row of an endpoint cannot be understood; nothing is sent to it."""
    _log.error(
        "endpoint cannot be read, deliveries are held",
        endpoint_id=str(endpoint_id),
        error=str(error),
        remedy="set the webhook's settings again by the API or the dashboard",
    )


def missing(endpoint_id: UUID) -> None:
    """Log that the row of an endpoint is missing; its deliveries are held."""
    _log.error("endpoint is missing, its deliveries are held", endpoint_id=str(endpoint_id))


def disabled(endpoint_id: UUID, reason: str) -> None:
    """Log that the daemon disabled an endpoint."""
    _log.warning(
        "endpoint disabled",
        endpoint_id=str(endpoint_id),
        reason=reason,
        remedy=f"when it answers again: dispatcher webhook enable {endpoint_id}",
    )


def state_discarded(endpoint_id: UUID, error: Exception) -> None:
    """Log that the database refused the new state of an endpoint that sending found."""
    _log.error("endpoint state discarded", endpoint_id=str(endpoint_id), error=type(error).__name__)


def operational_event_discarded(event: tuple[str, str, str], error: Exception) -> None:
    """Log that the database refused an operational event: its environment, type and data."""
    _log.error(
        "operational event discarded",
        environment_id=event[0],
        type=event[1],
        error=type(error).__name__,
    )


def statistics_discarded(key: object, error: Exception) -> None:
    """Log that the database refused the sums of one endpoint or environment."""
    _log.error("statistics discarded", of=str(key), error=type(error).__name__)
