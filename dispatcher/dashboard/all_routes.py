"""All pages of the dashboard."""

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
"""The pages of every module in `views`. `/webhooks/new` stands before `/webhooks/{webhook_id}`,
otherwise `new` would be taken for an id."""
