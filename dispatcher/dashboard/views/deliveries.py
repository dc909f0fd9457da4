"""The deliveries of a webhook, which are the first tab of its page."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.pagination import Page
from dispatcher.dashboard import filters
from dispatcher.dashboard.request import DashboardRequest
from dispatcher.dashboard.views import webhook
from dispatcher.services.inputs.history_filters import DeliveryFilters

FILTERS = ("status", "event", "since", "until")
SHOWN = 50


async def list_(request: DashboardRequest) -> web.Response:
    """Show the deliveries of a webhook, which is the first tab of its page."""
    view = await webhook.load(request)
    asked = {name: request.http.query.get(name, "").strip() for name in FILTERS}
    opened = await filters.opened(request, (asked["event"],))
    if opened is not None:
        return opened
    before = request.position()
    wrong: Mapping[str, str] = {}
    try:
        chosen = DeliveryFilters.model_validate_strings(request.moments(asked), strict=False)
        page = await request.services.history.deliveries(
            request.environment_id, view.webhook.id, chosen, before=before, limit=SHOWN
        )
    except ValidationError as error:
        # Show no rows. Otherwise people would take unfiltered rows for the result.
        page, wrong = Page((), None), filters.in_words(error)
    return webhook.page(
        request,
        "webhook.html",
        view,
        tab="deliveries",
        deliveries=page,
        asked=asked,
        filtered=any(asked.values()),
        field_errors=wrong,
        first=before is None,
    )


PAGES = (("GET", "webhook", list_),)
