"""Observe deliveries and their attempts."""

from collections import Counter
from collections.abc import Sequence

import structlog

from dispatcher.core import ids
from dispatcher.core.model import Delivery, Result
from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def recorded(results: Sequence[Result]) -> None:
    """Count recorded attempts, and log the failed ones."""
    outcomes = Counter([r.outcome.code for r in results])
    for outcome, count in outcomes.items():
        metrics.ATTEMPTS.labels(outcome).inc(count)
    for state, count in Counter([r.outcome.state for r in results if r.outcome.state]).items():
        metrics.ENDED.labels(state).inc(count)
    metrics.DURATION.observe_all([r.duration_ms / 1000 for r in results])
    if outcomes["ok"] < len(results):
        for result in results:
            if result.outcome.code != "ok":
                _attempt_failed(result)


def _attempt_failed(result: Result) -> None:
    _log.info(
        "attempt failed",
        delivery_id=ids.delivery_name(result.delivery.id),
        endpoint_id=str(result.delivery.endpoint_id),
        attempt=result.delivery.attempt + 1,
        outcome=result.outcome.code,
        error=result.outcome.error,
        retry_in=result.outcome.delay and round(result.outcome.delay, 3),
        state=result.outcome.state,
    )


def late(new: int, number: int) -> None:
    """Log `number` late results, of which `new` were not recorded before.

    The deliveries of late results had moved on.
    """
    metrics.LATE.inc(new)
    _log.warning("results came late", superseded=new, repeated=number - new)


def response_discarded(delivery: Delivery, error: Exception) -> None:
    """Log that the database refused a response; the attempt is recorded without it."""
    _log.error(
        "response discarded, recording the attempt without it",
        delivery_id=ids.delivery_name(delivery.id),
        error=type(error).__name__,
    )


def result_discarded(delivery: Delivery, error: Exception, *, moved: bool) -> None:
    """Log that the database refused the data of a result.

    `moved` is True if its delivery is in quarantine now.
    """
    metrics.RESULTS_DISCARDED.inc()
    if moved:
        metrics.QUARANTINED.inc()
    _log.error(
        "result discarded",
        delivery_id=ids.delivery_name(delivery.id),
        endpoint_id=str(delivery.endpoint_id),
        attempt=delivery.attempt + 1,
        quarantined=moved,
        error=type(error).__name__,
    )


def attempt_broke(delivery: Delivery, error: Exception) -> None:
    """Log that an attempt ended with an error of our own, which counts as a failed attempt."""
    _log.error(
        "attempt ended with an internal error",
        delivery_id=ids.delivery_name(delivery.id),
        error=type(error).__name__,
        exc_info=error,
    )


def outcome_not_applied(delivery: Delivery, error: Exception) -> None:
    """Log that an outcome did not change its endpoint, because of an error of our own.

    The attempt is recorded.
    """
    _log.error(
        "outcome not applied to the endpoint",
        delivery_id=ids.delivery_name(delivery.id),
        endpoint_id=str(delivery.endpoint_id),
        error=type(error).__name__,
        exc_info=error,
    )


def event_unreadable(delivery: Delivery, error: Exception) -> None:
    """Log that an event cannot be decoded or built; its delivery fails."""
    _log.error(
        "event cannot be read, its delivery failed",
        delivery_id=ids.delivery_name(delivery.id),
        event_id=ids.event_name(delivery.event_id),
        error=str(error),
    )


def cancelled(deliveries: int) -> None:
    """Count deliveries that ended without being sent."""
    metrics.ENDED.labels("CANCELLED").inc(deliveries)
    _log.info("deliveries cancelled", deliveries=deliveries)
