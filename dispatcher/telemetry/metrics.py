"""The metrics, in our own registry. No label names an endpoint: there may be thousands.

docs/operating.md explains the use of each metric.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from dispatcher import __version__
from dispatcher.telemetry.batch_histogram import BatchHistogram

REGISTRY = CollectorRegistry()
"""All metrics. Reading them needs a token that is not bound to one environment."""

ProcessCollector(registry=REGISTRY)
BUILD = Info("dispatcher_build", "The release that runs", registry=REGISTRY)
BUILD.info({"version": __version__})

EVENTS = Counter("dispatcher_events_fanned_out", "Events fanned out", registry=REGISTRY)
DELIVERIES = Counter("dispatcher_deliveries_made", "Deliveries made by fan-out", registry=REGISTRY)
ATTEMPTS = Counter("dispatcher_attempts", "Attempts recorded", ["outcome"], registry=REGISTRY)
ENDED = Counter("dispatcher_deliveries_ended", "Deliveries ended", ["state"], registry=REGISTRY)
LATE = Counter(
    "dispatcher_attempts_superseded",
    "Results that came too late: their deliveries had moved on",
    registry=REGISTRY,
)
RESULTS_DISCARDED = Counter(
    "dispatcher_results_discarded",
    "Results that the database refused for their data; see the quarantine for their deliveries",
    registry=REGISTRY,
)
QUARANTINED = Counter(
    "dispatcher_events_quarantined",
    "Events put into quarantine, and deliveries whose result the database refused",
    registry=REGISTRY,
)
STORE_FAILURES = Counter(
    "dispatcher_store_failures",
    "Passes of stages, and of pause, park and drain, that the database failed: an outage, a"
    " timeout, a missing right, a conflict of locks",
    ["stage"],
    registry=REGISTRY,
)
STAGE_FAILURES = Counter(
    "dispatcher_stage_failures",
    "Passes of a stage, or statements of one, that failed and are tried again",
    ["stage"],
    registry=REGISTRY,
)
CLOCK_STEPS = Counter(
    "dispatcher_database_clock_steps",
    "Times that the database's clock was set by 5 s or more",
    registry=REGISTRY,
)
REPLAY_FAILURES = Counter(
    "dispatcher_replay_failures", "Steps of replays that failed", registry=REGISTRY
)
BULK_ACTION_FAILURES = Counter(
    "dispatcher_bulk_action_failures", "Steps of bulk actions that failed", registry=REGISTRY
)
QUARANTINE_EXPIRED = Counter(
    "dispatcher_quarantine_expired",
    "Events and deliveries in quarantine that were not released before retention",
    registry=REGISTRY,
)
MAINTENANCE_FAILURES = Counter(
    "dispatcher_maintenance_failures",
    "Steps of maintenance that failed and are tried again",
    ["step"],
    registry=REGISTRY,
)
REPLICATED = Counter(
    "dispatcher_replicated_events",
    "Events that arrived in the replica role, by the decision about them",
    ["fate"],
    registry=REGISTRY,
)
TRIGGERS_DISABLED = Gauge(
    "dispatcher_triggers_disabled",
    "Triggers of the events table that are disabled or dropped: events that are inserted or"
    " replicated are not sent until they are enabled",
    registry=REGISTRY,
)
DURATION = BatchHistogram(
    "dispatcher_attempt_seconds",
    "Seconds from the start of an attempt to its outcome",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
REGISTRY.register(DURATION)

REQUESTS = Counter(
    "dispatcher_admin_requests",
    "Requests to the admin port",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_DURATION = Histogram(
    "dispatcher_admin_request_seconds",
    "Seconds from the arrival of a request to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)

_FROM_DATABASE = "; measured in the database, and the same from every daemon"

PENDING = Gauge(
    "dispatcher_pending_deliveries",
    "Pending deliveries: due (to be sent now, and those under way), scheduled (for later), held"
    " (the webhook is disabled or rests, or sending is paused); 5000 stands for that or more"
    + _FROM_DATABASE,
    ["state"],
    registry=REGISTRY,
)
OLDEST_DUE = Gauge(
    "dispatcher_oldest_due_delivery_age_seconds",
    "Age of the oldest due delivery that is neither held nor recorded; 0 if there is none"
    + _FROM_DATABASE,
    registry=REGISTRY,
)
PENDING_OF_ENVIRONMENT = Gauge(
    "dispatcher_environment_pending_deliveries",
    "Pending deliveries of the environments with most of them, and of all others together"
    + _FROM_DATABASE,
    ["environment", "state"],
    registry=REGISTRY,
)
INBOX = Gauge(
    "dispatcher_inbox_events",
    "Committed events that are not fanned out yet; 5000 stands for that or more" + _FROM_DATABASE,
    registry=REGISTRY,
)
INBOX_OLDEST = Gauge(
    "dispatcher_oldest_inbox_event_age_seconds",
    "Age of the oldest event that is not fanned out yet; 0 if there is none" + _FROM_DATABASE,
    registry=REGISTRY,
)
QUARANTINE = Gauge(
    "dispatcher_quarantined_events",
    "Events in quarantine, and deliveries whose result the database refused; 5000 stands for that"
    " or more" + _FROM_DATABASE,
    registry=REGISTRY,
)
ENDPOINTS = Gauge(
    "dispatcher_endpoints",
    "Webhooks: active, disabled, failing (active, and no attempt succeeded since one failed)"
    + _FROM_DATABASE,
    ["state"],
    registry=REGISTRY,
)
PAUSED_ENVIRONMENTS = Gauge(
    "dispatcher_paused_environments",
    "Environments with a pause of their own" + _FROM_DATABASE,
    registry=REGISTRY,
)
PAUSED_ALL = Gauge(
    "dispatcher_paused_all",
    "1 while sending is paused for all environments" + _FROM_DATABASE,
    registry=REGISTRY,
)
PAUSED_SECONDS = Gauge(
    "dispatcher_longest_pause_seconds",
    "Age of the oldest pause in force; 0 if there is none" + _FROM_DATABASE,
    registry=REGISTRY,
)
MEASURED = Gauge(
    "dispatcher_measured_timestamp_seconds",
    "When this daemon last measured the figures of the database, in seconds since 1970",
    registry=REGISTRY,
)

IN_FLIGHT = Gauge(
    "dispatcher_in_flight_deliveries",
    "Attempts of this daemon that are under way",
    registry=REGISTRY,
)
UNRECORDED = Gauge(
    "dispatcher_unrecorded_results",
    "Results of attempts of this daemon that are not in the database yet",
    registry=REGISTRY,
)
SHARDS_OWNED = Gauge(
    "dispatcher_shards_owned",
    "Shards of this daemon, of 64",
    registry=REGISTRY,
)
LEASE_VALID = Gauge(
    "dispatcher_lease_valid",
    "1 while this daemon may start attempts: the database answered less than 1 s ago",
    registry=REGISTRY,
)
LISTENER_CONNECTED = Gauge(
    "dispatcher_listener_connected",
    "1 while this daemon is notified of new events; otherwise it reads the inbox every second",
    registry=REGISTRY,
)
STAGE_FAILING = Gauge(
    "dispatcher_failing_stages",
    "Stages of this daemon without progress for 10 s; /readyz names them",
    registry=REGISTRY,
)
SESSIONS = Gauge(
    "dispatcher_database_connections",
    "Connections of this daemon to the database: busy with a statement, or idle",
    ["state"],
    registry=REGISTRY,
)
LOOP_LAG = Histogram(
    "dispatcher_event_loop_lag_seconds",
    "Lateness of a timer of this daemon's event loop; from 1 s on it loses its lease",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
