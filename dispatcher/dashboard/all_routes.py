"""All pages."""

from dispatcher.dashboard.views import (
    administration,
    deliveries,
    event_types,
    events,
    overview,
    recoveries,
    webhook,
    webhook_settings,
    webhooks,
)

PAGES = (
    *administration.PAGES,
    *event_types.PAGES,
    *events.PAGES,
    *overview.PAGES,
    *webhooks.PAGES,
    *deliveries.PAGES,
    *webhook.PAGES,
    *webhook_settings.PAGES,
    *recoveries.PAGES,
)
"""What each page shows and does, a module a noun. `/webhooks/new` comes before any webhook's name."""
