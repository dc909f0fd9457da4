"""All routes."""

from dispatcher.api.handlers import (
    administration,
    deliveries,
    event_types,
    events,
    replays,
    stats,
    webhooks,
)

ROUTES = (
    *webhooks.ROUTES,
    *deliveries.ROUTES,
    *replays.ROUTES,
    *events.ROUTES,
    *event_types.ROUTES,
    *administration.ROUTES,
    *stats.ROUTES,
)
