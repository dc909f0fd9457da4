"""Observe events: fan-out, schema checks, quarantine and replication."""

from collections import Counter
from collections.abc import Sequence

import structlog

from dispatcher.core import ids
from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def fanned_out(events: int, deliveries: int) -> None:
    """Count events that were fanned out, and the deliveries made of them."""
    metrics.EVENTS.inc(events)
    metrics.DELIVERIES.inc(deliveries)
    _log.debug("fanned out", events=events, deliveries=deliveries)


def fan_out_timed_out(events: int) -> None:
    """Log that a fan-out of up to `events` timed out; the next one takes fewer."""
    _log.warning("fan-out timed out, taking fewer events", events=events)


def quarantined(event_id: int, reason: str) -> None:
    """Log that an event was put into quarantine."""
    metrics.QUARANTINED.inc()
    _log.error(
        "event quarantined",
        event_id=ids.event_name(event_id),
        reason=reason,
        remedy="see the page Quarantine of the dashboard; release the event or discard it",
    )


def quarantine_expired(event_id: int, reason: str) -> None:
    """Log that retention removed an event from quarantine before it was released."""
    metrics.QUARANTINE_EXPIRED.inc()
    _log.warning("quarantined event expired", event_id=ids.event_name(event_id), reason=reason)


def schema_check_failed(event_id: int, error: Exception) -> None:
    """Log that the check of one event failed with its own error; the event goes to quarantine."""
    _log.error("schema check failed", event_id=ids.event_name(event_id), error=type(error).__name__)


def schema_checks_unavailable(error: Exception) -> None:
    """Log that the process that checks schemas does not start.

    Events wait if their type has an enforced schema.
    """
    _log.error("events wait, as their schemas cannot be checked", error=str(error))


def replicated(fates: Sequence[tuple[int, str]]) -> None:
    """Log events that arrived in the replica role, each with the decision about it."""
    counts = Counter(fate for _, fate in fates)
    for fate, count in counts.items():
        metrics.REPLICATED.labels(fate).inc(count)
    metrics.QUARANTINED.inc(counts["quarantine"])
    _log.info("events replicated", **counts)
