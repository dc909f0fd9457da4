"""The deliveries of a webhook, which are the first tab of its page."""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.pagination import Page
from dispatcher.dashboard import typed_ids
from dispatcher.dashboard.lists import filter_messages, live_list
from dispatcher.dashboard.lists.live_list import LiveList
from dispatcher.dashboard.request import PAGE_SIZE, DashboardRequest
from dispatcher.dashboard.views import webhook
from dispatcher.services.deliveries.history_resources import DeliveryItem
from dispatcher.services.inputs.history_filters import DeliveryFilters

FILTERS = ("status", "event", "since", "until")


async def list_(request: DashboardRequest) -> web.Response:
    """Show the deliveries of a webhook, which is the first tab of its page."""
    view = await webhook.load(request)
    typed = {name: request.http.query.get(name, "").strip() for name in FILTERS}
    opened = await typed_ids.item_redirect(request, (typed["event"],))
    if opened is not None:
        return opened
    wrong: Mapping[str, str] = {}
    try:
        chosen = DeliveryFilters.model_validate_strings(request.moments(typed), strict=False)
        listing = await live_list.read(
            request, partial(_of_webhook, request, view.webhook.id, chosen)
        )
    except ValidationError as error:
        # Show no rows. Otherwise people would take unfiltered rows for the result.
        listing, wrong = LiveList(Page((), None)), filter_messages.in_words(error)
    return webhook.page(
        request,
        "webhook.html",
        view,
        tab="deliveries",
        deliveries=listing.page,
        live_list=listing,
        typed=typed,
        filtered=any(typed.values()),
        field_errors=wrong,
        first=request.position() is None,
    )


async def _of_webhook(
    request: DashboardRequest, webhook_id: UUID, chosen: DeliveryFilters, before: int | None
) -> Page[DeliveryItem, int]:
    return await request.services.history.deliveries(
        request.environment_id, webhook_id, chosen, before=before, limit=PAGE_SIZE
    )


PAGES = (("GET", "webhook", list_),)
