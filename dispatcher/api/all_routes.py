"""All routes of the admin API."""

from dispatcher.api.handlers import (
    audit,
    bulk_actions,
    deliveries,
    environments,
    event_types,
    events,
    pauses,
    quarantine,
    replays,
    stats,
    tokens,
    webhooks,
)

ROUTES = (
    *webhooks.routes,
    *deliveries.routes,
    *bulk_actions.routes,
    *replays.routes,
    *events.routes,
    *quarantine.routes,
    *event_types.routes,
    *environments.routes,
    *tokens.routes,
    *audit.routes,
    *pauses.routes,
    *stats.routes,
)
