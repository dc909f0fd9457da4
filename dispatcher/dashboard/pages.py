"""All pages."""

from dispatcher.dashboard.views import administration, event_types, events, webhooks

PAGES = (
    *administration.PAGES,
    *event_types.PAGES,
    *events.PAGES,
    *webhooks.PAGES,
)
