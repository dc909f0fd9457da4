"""One function for each fact: it writes the log line and updates the metric.

So the stages know neither the names of log events nor the metrics.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic
from uuid import UUID

import structlog

from dispatcher.core import ids
from dispatcher.core.figures import Backlog, Vitals
from dispatcher.core.model import Delivery, Result
from dispatcher.telemetry import metrics

_log = structlog.get_logger("dispatcher")


def started(version: str, admin: str, database: str) -> None:
    _log.info("started", version=version, admin=admin, database=database)


def draining(in_flight: int, unrecorded: int) -> None:
    _log.info("draining", in_flight=in_flight, unrecorded=unrecorded)


def stopped() -> None:
    _log.info("stopped")


def drain_cut_short(in_flight: int, unrecorded: int) -> None:
    _log.warning("drain cut short", in_flight=in_flight, unrecorded=unrecorded)


def listening() -> None:
    _log.info("listening")


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
    _log.info("sending is resumed", environment=environment_id or "all environments")


def pause_applied() -> None:
    _log.warning(
        "delivery.paused is set: sending is paused for all environments, by every daemon",
        remedy="resume by: dispatcher resume --all; and remove delivery.paused",
    )


def pause_applied_before(
    paused_at: datetime | None, resumed_at: datetime | None, by: str | None
) -> None:
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


def shards_changed(daemon: int | None, owned: int) -> None:
    _log.info("shards changed", daemon=daemon, owned=owned)


def database_clock_stepped(seconds: float) -> None:
    metrics.CLOCK_STEPS.inc()
    _log.warning(
        "database clock stepped",
        seconds=round(seconds, 3),
        consequence="retries come earlier"
        if seconds > 0
        else "retries are moved to keep their delay",
    )


def rescheduled(seconds: float, deliveries: int) -> None:
    _log.info("deliveries rescheduled", seconds=round(seconds, 3), deliveries=deliveries)


def store_unavailable(stage: str, error: Exception, retry_in: float) -> None:
    """Count a failure of the database in a stage, and log it at most once a second.

    `retry_in` is in seconds.
    """
    metrics.STORE_FAILURES.labels(stage).inc()
    if _outage.worth_a_line(monotonic()):
        _log.warning(
            "database unavailable", stage=stage, error=str(error), retry_in=round(retry_in, 3)
        )


def stage_failed(stage: str, error: Exception, retry_in: float) -> None:
    metrics.STAGE_FAILURES.labels(stage).inc()
    store_unavailable(stage, error, retry_in)


def stage_failing(stage: str, seconds: float) -> None:
    """Log that a stage has got nowhere for that many seconds; /readyz names it in `failing`."""
    _log.error("stage gets nowhere", stage=stage, seconds=round(seconds, 1))


def stage_recovered(stage: str) -> None:
    _log.info("stage recovered", stage=stage)


def backlog(
    measured: Backlog,
    environments: Mapping[str, Mapping[str, int]],
    paused_since: datetime | None,
) -> None:
    """Set the metrics of the backlog in the database.

    `environments` are the environments with their own figures. `paused_since` is the start of the
    oldest pause, None if there is none.
    """
    metrics.PENDING.labels("due").set(measured.pending.due)
    metrics.PENDING.labels("scheduled").set(measured.pending.scheduled)
    metrics.PENDING.labels("held").set(measured.pending.held)
    metrics.OLDEST_DUE.set(measured.pending.oldest_due_seconds)
    metrics.PENDING_OF_ENVIRONMENT.clear()
    for environment, states in environments.items():
        for state, deliveries in states.items():
            metrics.PENDING_OF_ENVIRONMENT.labels(environment, state).set(deliveries)
    metrics.INBOX.set(measured.inbox.events)
    metrics.INBOX_OLDEST.set(measured.inbox.oldest_seconds)
    metrics.QUARANTINE.set(measured.quarantined)
    metrics.ENDPOINTS.labels("active").set(measured.endpoints.active)
    metrics.ENDPOINTS.labels("disabled").set(measured.endpoints.disabled)
    metrics.ENDPOINTS.labels("failing").set(measured.endpoints.failing)
    metrics.PAUSED_ENVIRONMENTS.set(measured.paused_environments)
    metrics.PAUSED_ALL.set(measured.all_paused_at is not None)
    since = measured.at if paused_since is None else paused_since
    metrics.PAUSED_SECONDS.set(max(0.0, (measured.at - since).total_seconds()))
    metrics.MEASURED.set(measured.at.timestamp())


def vitals(found: Vitals) -> None:
    """Set the metrics of this daemon's current state."""
    metrics.IN_FLIGHT.set(found.in_flight)
    metrics.UNRECORDED.set(found.unrecorded)
    metrics.SHARDS_OWNED.set(found.shards)
    metrics.LEASE_VALID.set(found.lease_valid)
    metrics.LISTENER_CONNECTED.set(found.listening)
    metrics.STAGE_FAILING.set(found.stages_failing)
    metrics.SESSIONS.labels("busy").set(found.connections_busy)
    metrics.SESSIONS.labels("idle").set(found.connections_idle)


def loop_lag(seconds: float) -> None:
    metrics.LOOP_LAG.observe(seconds)


def drain_step_failed(error: BaseException) -> None:
    _log.error("drain failed", error=type(error).__name__, exc_info=error)


def connection_warning(message: str) -> None:
    """Log what connecting to the database ignored, or was short of."""
    _log.warning("database connection", problem=message)


class _Outage:
    """A limit of one log line a second for an outage, which every stage meets again and again."""

    def __init__(self) -> None:
        self._told_at = float("-inf")

    def worth_a_line(self, now: float) -> bool:
        worth = now - self._told_at >= 1.0
        if worth:
            self._told_at = now
        return worth


_outage = _Outage()


def fanned_out(events: int, deliveries: int) -> None:
    metrics.EVENTS.inc(events)
    metrics.DELIVERIES.inc(deliveries)
    _log.debug("fanned out", events=events, deliveries=deliveries)


def fan_out_too_large(events: int) -> None:
    """Log that a fan-out took too long; the next one takes fewer events."""
    _log.warning("fan-out timed out, trying less", events=events)


def quarantined(event_id: int, reason: str) -> None:
    metrics.QUARANTINED.inc()
    _log.error("event quarantined", event_id=ids.event_name(event_id), reason=reason)


def schema_check_broke(event_id: int, error: Exception) -> None:
    """Log that the check of one event failed with its own error; the event goes to quarantine."""
    _log.error("schema_check_broke", event_id=ids.event_name(event_id), error=type(error).__name__)


def sandbox_unavailable(error: Exception) -> None:
    _log.error("events cannot be examined, they wait", error=str(error))


def recorded(results: Sequence[Result]) -> None:
    for outcome, count in Counter(r.outcome.code for r in results).items():
        metrics.ATTEMPTS.labels(outcome).inc(count)
    for state, count in Counter(r.outcome.state for r in results if r.outcome.state).items():
        metrics.ENDED.labels(state).inc(count)
    for result in results:
        metrics.DURATION.observe(result.duration_ms / 1000)
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


def superseded(new: int, late: int) -> None:
    """Log `late` results whose deliveries had moved on; `new` were not recorded before."""
    metrics.SUPERSEDED.inc(new)
    _log.warning("results came late", superseded=new, repeated=late - new)


def unrecordable(delivery: Delivery, error: Exception) -> None:
    """Log that the database refused a response; the attempt is recorded without it."""
    _log.error(
        "response could not be stored, recording without it",
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
        "result_discarded",
        delivery_id=ids.delivery_name(delivery.id),
        endpoint_id=str(delivery.endpoint_id),
        attempt=delivery.attempt + 1,
        quarantined=moved,
        error=type(error).__name__,
    )


def attempt_broke(delivery: Delivery, error: Exception) -> None:
    _log.error(
        "attempt broke",
        delivery_id=ids.delivery_name(delivery.id),
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


def secret_unreadable(endpoint_id: UUID) -> None:
    _log.error("signing secret cannot be decrypted, endpoint held", endpoint_id=str(endpoint_id))


def endpoint_malformed(endpoint_id: UUID, error: Exception) -> None:
    _log.error("endpoint is malformed, held", endpoint_id=str(endpoint_id), error=str(error))


def endpoint_missing(endpoint_id: UUID) -> None:
    """Log that the row of an endpoint is missing; its deliveries are held."""
    _log.error("endpoint is gone, its deliveries are held", endpoint_id=str(endpoint_id))


def note_discarded(endpoint_id: UUID, error: Exception) -> None:
    """Log that the database refused the new state of an endpoint that sending found."""
    _log.error("endpoint_note_discarded", endpoint_id=str(endpoint_id), error=type(error).__name__)


def operational_event_discarded(event: tuple[str, str, str], error: Exception) -> None:
    """Log that the database refused an operational event: its environment, type and data."""
    _log.error(
        "operational_event_discarded",
        environment_id=event[0],
        type=event[1],
        error=type(error).__name__,
    )


def statistics_discarded(key: object, error: Exception) -> None:
    """Log that the database refused the sums of one endpoint or environment."""
    _log.error("statistics_discarded", of=str(key), error=type(error).__name__)


def recovery_failed(recovery: int, state: str, error: Exception) -> None:
    """Log that a step of a replay failed; `state` is FAILED if it is not tried again."""
    metrics.RECOVERY_FAILURES.inc()
    _log.error("recovery_step_failed", recovery=recovery, state=state, error=type(error).__name__)


def stage_broke(stage: str, error: Exception, retry_in: float) -> None:
    """Log that a run of a stage failed, not because of the database; it is tried again.

    `retry_in` is in seconds.
    """
    metrics.STAGE_FAILURES.labels(stage).inc()
    _log.error(
        "stage_failed",
        stage=stage,
        error=type(error).__name__,
        retry_in=round(retry_in, 3),
        exc_info=error,
    )


def endpoint_disabled(endpoint_id: UUID, reason: str) -> None:
    _log.warning("endpoint disabled", endpoint_id=str(endpoint_id), reason=reason)


def cancelled(deliveries: int) -> None:
    metrics.ENDED.labels("CANCELLED").inc(deliveries)
    _log.info("deliveries cancelled", deliveries=deliveries)


def quarantine_expired(event_id: int, reason: str) -> None:
    """Log that retention removed an event from quarantine before it was released."""
    metrics.QUARANTINE_EXPIRED.inc()
    _log.warning("quarantined event expired", event_id=ids.event_name(event_id), reason=reason)


def recovery_passed_over(recovery: int) -> None:
    """Log that a replay skipped events, because their partition is about to be dropped."""
    _log.warning("recovery passed over events that are about to be dropped", recovery=recovery)


def events_replicated(fates: Sequence[tuple[int, str]]) -> None:
    """Log events that arrived in the replica role, each with the decision about it."""
    counts = Counter(fate for _, fate in fates)
    for fate, count in counts.items():
        metrics.REPLICATED.labels(fate).inc(count)
    metrics.QUARANTINED.inc(counts["quarantined"])
    _log.info("events_replicated", **counts)


def triggers_silent(names: Sequence[str]) -> None:
    """Log the triggers that are disabled. While one is, events are inserted and never sent."""
    metrics.TRIGGERS_SILENT.set(len(names))
    if names:
        _log.error("triggers_disabled", triggers=list(names))


def maintenance_failed(step: str, error: Exception, retry_in: float) -> None:
    metrics.MAINTENANCE_FAILURES.labels(step).inc()
    _log.error(
        "maintenance_failed",
        step=step,
        error=f"{type(error).__name__}: {error}",
        retry_in=round(retry_in, 3),
    )


def partitions_made(names: Sequence[str]) -> None:
    _log.info("partitions made", partitions=list(names))


def partition_dropped(name: str) -> None:
    _log.info("partition dropped", partition=name)


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request to the admin port; `route` is the pattern that its path matched."""
    metrics.REQUESTS.labels(method, route, str(status)).inc()
    metrics.REQUEST_DURATION.observe(seconds)


def request_broke(request_id: str, error: Exception) -> None:
    _log.error("request broke", request=request_id, error=type(error).__name__, exc_info=error)
