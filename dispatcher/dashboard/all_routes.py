"""All pages of the dashboard."""

from dispatcher.dashboard.views import (
    all_deliveries,
    audit,
    bulk_actions,
    deliveries,
    environments,
    event_types,
    events,
    overview,
    quarantine,
    recoveries,
    search,
    tokens,
    webhook,
    webhook_credentials,
    webhook_settings,
    webhooks,
)

PAGES = (
    *audit.PAGES,
    *environments.PAGES,
    *quarantine.PAGES,
    *tokens.PAGES,
    *event_types.PAGES,
    *events.PAGES,
    *overview.PAGES,
    *webhooks.PAGES,
    *all_deliveries.PAGES,
    *bulk_actions.PAGES,
    *deliveries.PAGES,
    *webhook.PAGES,
    *webhook_settings.PAGES,
    *webhook_credentials.PAGES,
    *recoveries.PAGES,
    *search.PAGES,
)
"""The pages of every module in `views`. `/webhooks/new` stands before `/webhooks/{webhook_id}`,
otherwise `new` would be taken for an id."""
