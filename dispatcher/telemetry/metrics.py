"""The metrics, in a registry of our own. No label names an endpoint: there may be thousands.

docs/operating.md says what each is good for.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from dispatcher import __version__

REGISTRY = CollectorRegistry()
"""Read with a token that is bound to no environment."""

ProcessCollector(registry=REGISTRY)
BUILD = Info("dispatcher_build", "The release that runs", registry=REGISTRY)
BUILD.info({"version": __version__})

EVENTS = Counter("dispatcher_events_fanned_out", "Events fanned out", registry=REGISTRY)
DELIVERIES = Counter("dispatcher_deliveries_made", "Deliveries made", registry=REGISTRY)
ATTEMPTS = Counter("dispatcher_attempts", "Attempts recorded", ["outcome"], registry=REGISTRY)
ENDED = Counter("dispatcher_deliveries_ended", "Deliveries ended", ["state"], registry=REGISTRY)
SUPERSEDED = Counter(
    "dispatcher_attempts_superseded", "Results that came too late", registry=REGISTRY
)
RESULTS_DISCARDED = Counter(
    "dispatcher_results_discarded",
    "Results that the database refuses for their data; their deliveries are in quarantine",
    registry=REGISTRY,
)
QUARANTINED = Counter("dispatcher_events_quarantined", "Events set aside", registry=REGISTRY)
STORE_FAILURES = Counter(
    "dispatcher_store_failures",
    "Statements that failed for want of the database",
    ["stage"],
    registry=REGISTRY,
)
STAGE_FAILURES = Counter(
    "dispatcher_stage_failures",
    "Passes of a stage of the daemon that failed and are tried again",
    ["stage"],
    registry=REGISTRY,
)
CLOCK_STEPS = Counter(
    "dispatcher_database_clock_steps",
    "Times that the database's clock was set by more than some seconds",
    registry=REGISTRY,
)
RECOVERY_FAILURES = Counter(
    "dispatcher_recovery_failures", "Steps of recoveries that failed", registry=REGISTRY
)
QUARANTINE_EXPIRED = Counter(
    "dispatcher_quarantine_expired",
    "Events in quarantine that nobody released before retention",
    registry=REGISTRY,
)
MAINTENANCE_FAILURES = Counter(
    "dispatcher_maintenance_failures",
    "Steps of maintenance that failed; each is tried again by itself",
    ["step"],
    registry=REGISTRY,
)
REPLICATED = Counter(
    "dispatcher_replicated_events",
    "Events that arrived in the replica role, by what was decided",
    ["fate"],
    registry=REGISTRY,
)
TRIGGERS_SILENT = Gauge(
    "dispatcher_triggers_disabled",
    "Triggers of the events table that do not fire; events are then never sent",
    registry=REGISTRY,
)
DURATION = Histogram(
    "dispatcher_attempt_seconds",
    "From the start of an attempt to its verdict",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
    registry=REGISTRY,
)

REQUESTS = Counter(
    "dispatcher_admin_requests",
    "Requests to the admin port",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_DURATION = Histogram(
    "dispatcher_admin_request_seconds",
    "From a request's arrival to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)

_EVERYWHERE = "; measured in the database, and the same from every daemon"

PENDING = Gauge(
    "dispatcher_pending_deliveries",
    "Pending deliveries: due (to be sent now, those under way included), scheduled (for later), held"
    " (the webhook is disabled or rests, or sending is paused); 5000 stands for that or more"
    + _EVERYWHERE,
    ["state"],
    registry=REGISTRY,
)
OLDEST_DUE = Gauge(
    "dispatcher_oldest_due_delivery_age_seconds",
    "For how long the oldest delivery has been due that is neither held nor recorded; 0 if there is none"
    + _EVERYWHERE,
    registry=REGISTRY,
)
PENDING_OF_ENVIRONMENT = Gauge(
    "dispatcher_environment_pending_deliveries",
    "Pending deliveries of the environments that have most, and of all others together"
    + _EVERYWHERE,
    ["environment", "state"],
    registry=REGISTRY,
)
INBOX = Gauge(
    "dispatcher_inbox_events",
    "Committed events that are not fanned out yet; 5000 stands for that or more" + _EVERYWHERE,
    registry=REGISTRY,
)
INBOX_OLDEST = Gauge(
    "dispatcher_oldest_inbox_event_age_seconds",
    "Age of the oldest event that is not fanned out yet; 0 if there is none" + _EVERYWHERE,
    registry=REGISTRY,
)
QUARANTINE = Gauge(
    "dispatcher_quarantined_events",
    "Events in quarantine; 5000 stands for that or more" + _EVERYWHERE,
    registry=REGISTRY,
)
ENDPOINTS = Gauge(
    "dispatcher_endpoints",
    "Webhooks: active, disabled, failing (active, and no attempt has succeeded since one failed)"
    + _EVERYWHERE,
    ["state"],
    registry=REGISTRY,
)
PAUSED_ENVIRONMENTS = Gauge(
    "dispatcher_paused_environments",
    "Environments for which sending is paused, by a pause of their own" + _EVERYWHERE,
    registry=REGISTRY,
)
PAUSED_ALL = Gauge(
    "dispatcher_paused_all",
    "1 while sending is paused for all environments" + _EVERYWHERE,
    registry=REGISTRY,
)
PAUSED_SECONDS = Gauge(
    "dispatcher_longest_pause_seconds",
    "For how long the oldest pause in force has lasted; 0 if there is none" + _EVERYWHERE,
    registry=REGISTRY,
)
MEASURED = Gauge(
    "dispatcher_measured_timestamp_seconds",
    "When the figures of the database were last measured by this daemon, in seconds since 1970",
    registry=REGISTRY,
)

IN_FLIGHT = Gauge(
    "dispatcher_in_flight_deliveries", "Attempts that this daemon has under way", registry=REGISTRY
)
UNRECORDED = Gauge(
    "dispatcher_unrecorded_results",
    "Results of attempts of this daemon that are not in the database yet",
    registry=REGISTRY,
)
SHARDS_OWNED = Gauge(
    "dispatcher_shards_owned",
    "Of the 64 parts of the work, those that this daemon has",
    registry=REGISTRY,
)
LEASE_VALID = Gauge(
    "dispatcher_lease_valid",
    "1 while this daemon may start to send: the database answered less than 1 s ago",
    registry=REGISTRY,
)
LISTENER_CONNECTED = Gauge(
    "dispatcher_listener_connected",
    "1 while this daemon hears at once of new events; else it looks every second",
    registry=REGISTRY,
)
STAGE_FAILING = Gauge(
    "dispatcher_failing_stages",
    "Stages of this daemon that have got nowhere for 10 s",
    registry=REGISTRY,
)
SESSIONS = Gauge(
    "dispatcher_database_connections",
    "Connections of this daemon to the database: busy with a statement, idle",
    ["state"],
    registry=REGISTRY,
)
LOOP_LAG = Histogram(
    "dispatcher_event_loop_lag_seconds",
    "How much later than planned a timer of this daemon's event loop came",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
