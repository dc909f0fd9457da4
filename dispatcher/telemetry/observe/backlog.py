"""Observe what waits in the database."""

from collections.abc import Mapping

from dispatcher.core.figures import Backlog, PauseTotals
from dispatcher.telemetry import metrics


def measured(
    backlog: Backlog,
    environments: Mapping[str, Mapping[str, int]],
    pauses: PauseTotals,
) -> None:
    """Set the metrics of the backlog in the database.

    `environments` has the number of pending deliveries by environment and state: for those with
    most of them, and for all others together. `pauses` are the totals of all pauses in force.
    """
    _set_deliveries(backlog, environments)
    metrics.INBOX.set(backlog.inbox.events)
    metrics.INBOX_OLDEST.set(backlog.inbox.oldest_seconds)
    metrics.QUARANTINE.set(backlog.quarantined)
    metrics.ENDPOINTS.labels("active").set(backlog.endpoints.active)
    metrics.ENDPOINTS.labels("disabled").set(backlog.endpoints.disabled)
    metrics.ENDPOINTS.labels("failing").set(backlog.endpoints.failing)
    metrics.PAUSED_ENVIRONMENTS.set(pauses.environments)
    metrics.PAUSED_ALL.set(pauses.all_since is not None)
    since = backlog.at if pauses.oldest is None else pauses.oldest
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
