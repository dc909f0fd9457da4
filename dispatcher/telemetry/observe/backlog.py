"""Observe what waits in the database."""

from collections.abc import Mapping
from datetime import datetime

from dispatcher.core.figures import Backlog
from dispatcher.telemetry import metrics


def measured(
    backlog: Backlog,
    environments: Mapping[str, Mapping[str, int]],
    paused_since: datetime | None,
) -> None:
    """Set the metrics of the backlog in the database.

    `environments` are the environments with their own figures. `paused_since` is the start of the
    oldest pause, None if there is none.
    """
    _set_deliveries(backlog, environments)
    metrics.INBOX.set(backlog.inbox.events)
    metrics.INBOX_OLDEST.set(backlog.inbox.oldest_seconds)
    metrics.QUARANTINE.set(backlog.quarantined)
    metrics.ENDPOINTS.labels("active").set(backlog.endpoints.active)
    metrics.ENDPOINTS.labels("disabled").set(backlog.endpoints.disabled)
    metrics.ENDPOINTS.labels("failing").set(backlog.endpoints.failing)
    metrics.PAUSED_ENVIRONMENTS.set(backlog.paused_environments)
    metrics.PAUSED_ALL.set(backlog.all_paused_at is not None)
    since = backlog.at if paused_since is None else paused_since
    metrics.PAUSED_SECONDS.set(max(0.0, (backlog.at - since).total_seconds()))
    metrics.MEASURED.set(backlog.at.timestamp())


def _set_deliveries(backlog: Backlog, environments: Mapping[str, Mapping[str, int]]) -> None:
    metrics.PENDING.labels("due").set(backlog.pending.due)
    metrics.PENDING.labels("scheduled").set(backlog.pending.scheduled)
    metrics.PENDING.labels("held").set(backlog.pending.held)
    metrics.OLDEST_DUE.set(backlog.pending.oldest_due_seconds)
    metrics.PENDING_OF_ENVIRONMENT.clear()
    for environment, states in environments.items():
        for state, deliveries in states.items():
            metrics.PENDING_OF_ENVIRONMENT.labels(environment, state).set(deliveries)
