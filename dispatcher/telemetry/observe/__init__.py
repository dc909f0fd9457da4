"""One function for each fact: it writes the log line and updates the metric.

So the callers know neither the names of log events nor the metrics. A module has the facts about
one thing: `observe.deliveries.recorded(results)`.
"""

from dispatcher.telemetry.observe import (
    backlog,
    bulk_actions,
    daemon,
    database,
    deliveries,
    endpoints,
    events,
    maintenance,
    pauses,
    replays,
    requests,
    stages,
)

__all__ = [
    "backlog",
    "bulk_actions",
    "daemon",
    "database",
    "deliveries",
    "endpoints",
    "events",
    "maintenance",
    "pauses",
    "replays",
    "requests",
    "stages",
]
