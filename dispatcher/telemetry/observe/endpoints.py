"""Observe endpoints: those that cannot be used, those that were disabled, and their statistics."""

from uuid import UUID

import structlog

from dispatcher.core import ids

_log = structlog.get_logger("dispatcher")

_NO_HEADERS = '{"headers": null}'
_DEFAULTS = '{"retry": null, "headers": null}'


def secret_unreadable(endpoint_id: UUID) -> None:
    """Log that what is secret of an endpoint cannot be decrypted; nothing is sent to it."""
    _log.error(
        "secret, headers or credentials cannot be decrypted, deliveries are held",
        endpoint_id=str(endpoint_id),
        remedy="its secret, headers or credentials are not of this key:"
        f" dispatcher webhook rotate {endpoint_id} without --overlap, then"
        f" dispatcher webhook update {endpoint_id} --no-authentication --no-tls --more"
        f" '{_NO_HEADERS}', and give the receiver the new secret, and the webhook its headers and"
        " credentials, again",
    )


def malformed(endpoint_id: UUID, error: Exception) -> None:
    """Log that the row of an endpoint cannot be understood; nothing is sent to it."""
    _log.error(
        "endpoint cannot be read, deliveries are held",
        endpoint_id=str(endpoint_id),
        error=str(error),
        remedy="set its retry schedule, headers and credentials again: dispatcher webhook update"
        f" {endpoint_id} --no-authentication --no-tls --more '{_DEFAULTS}' gives it the defaults",
    )


def missing(endpoint_id: UUID) -> None:
    """Log that the row of an endpoint is missing; its deliveries are held."""
    _log.error(
        "endpoint is missing, its deliveries are held",
        endpoint_id=str(endpoint_id),
        remedy="restore its row of dispatcher.endpoints, or cancel its pending deliveries",
    )


def disabled(endpoint_id: UUID, reason: str) -> None:
    """Log that the daemon disabled an endpoint."""
    _log.warning(
        "endpoint disabled",
        endpoint_id=str(endpoint_id),
        reason=reason,
        remedy=f"when it answers again: dispatcher webhook enable {endpoint_id}, and for what it"
        f" missed: dispatcher replay {endpoint_id} --since TIME",
    )


def state_discarded(endpoint_id: UUID, error: Exception) -> None:
    """Log that the database refused the new state of an endpoint that sending found."""
    _log.error("endpoint state discarded", endpoint_id=str(endpoint_id), error=type(error).__name__)


def exhausted_event_discarded(attempt: tuple[int, int], error: Exception) -> None:
    """Log that the database refused the event about an attempt, `(delivery_id, number)`."""
    _log.error(
        "operational event discarded",
        type="delivery.exhausted",
        delivery_id=ids.delivery_name(attempt[0]),
        error=type(error).__name__,
    )


def statistics_discarded(key: object, error: Exception) -> None:
    """Log that the database refused the sums of one endpoint or environment."""
    _log.error("statistics discarded", of=str(key), error=type(error).__name__)
