"""All routes."""

from dispatcher.api import (
    administration,
    deliveries,
    event_types,
    events,
    recoveries,
    stats,
    webhooks,
)

ROUTES = (
    *webhooks.ROUTES,
    *deliveries.ROUTES,
    *recoveries.ROUTES,
    *events.ROUTES,
    *event_types.ROUTES,
    *administration.ROUTES,
    *stats.ROUTES,
)
