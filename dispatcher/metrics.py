"""The metrics, in a registry of our own. No label names an endpoint: there may be thousands."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

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
