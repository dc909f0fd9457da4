"""All pages."""

from dispatcher.dashboard.views import administration, event_types, events, overview, webhooks

PAGES = (
    *administration.PAGES,
    *event_types.PAGES,
    *events.PAGES,
    *overview.PAGES,
    *webhooks.PAGES,
)
