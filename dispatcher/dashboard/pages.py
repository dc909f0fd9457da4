"""All pages."""

from dispatcher.dashboard.views import webhooks

PAGES = (*webhooks.PAGES,)
