"""All routes."""

from dispatcher.api import administration, deliveries, event_types, events, recoveries, webhooks

ROUTES = (
    *webhooks.ROUTES,
    *deliveries.ROUTES,
    *recoveries.ROUTES,
    *events.ROUTES,
    *event_types.ROUTES,
    *administration.ROUTES,
)
