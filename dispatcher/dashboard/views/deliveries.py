"""The pages for the deliveries of a webhook, and for one delivery with its attempts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.core.pagination import Page
from dispatcher.dashboard import filters, live_list
from dispatcher.dashboard.live_list import LiveList
from dispatcher.dashboard.protection import HEADERS
from dispatcher.dashboard.rendering import answer
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.dashboard.views import webhook
from dispatcher.services.history_resources import Delivery, DeliveryItem
from dispatcher.services.inputs.history_filters import DeliveryFilters
from dispatcher.services.propagation import wait_until_acknowledged
from dispatcher.services.webhook_resource import Webhook

FILTERS = ("status", "event", "since", "until")
SHOWN = 50


async def list_(request: DashboardRequest) -> web.Response:
    """Show the deliveries of a webhook, which is the first tab of its page."""
    view = await webhook.load(request)
    asked = {name: request.http.query.get(name, "").strip() for name in FILTERS}
    opened = await filters.opened(request, (asked["event"],))
    if opened is not None:
        return opened
    wrong: Mapping[str, str] = {}
    try:
        chosen = DeliveryFilters.model_validate_strings(request.moments(asked), strict=False)
        found = await live_list.read(
            request, partial(_of_webhook, request, view.webhook.id, chosen)
        )
    except ValidationError as error:
        # Show no rows. Otherwise people would take unfiltered rows for the result.
        found, wrong = LiveList(Page((), None)), filters.in_words(error)
    return webhook.page(
        request,
        "webhook.html",
        view,
        tab="deliveries",
        deliveries=found.page,
        live_list=found,
        asked=asked,
        filtered=any(asked.values()),
        field_errors=wrong,
        first=request.position() is None,
    )


async def _of_webhook(
    request: DashboardRequest, webhook_id: UUID, chosen: DeliveryFilters, before: int | None
) -> Page[DeliveryItem, int]:
    return await request.services.history.deliveries(
        request.environment_id, webhook_id, chosen, before=before, limit=SHOWN
    )


async def one(request: DashboardRequest) -> web.Response:
    """Show a delivery with its attempts."""
    return await _page(request)


async def payload(request: DashboardRequest) -> web.Response:
    """Return the exact bytes of the payload, to test a receiver with.

    It is a download, because a browser must not render text that others wrote.
    """
    delivery = await _delivery(request)
    if delivery.payload is None:
        raise NotFoundError("The event is no longer kept.")
    name = f'attachment; filename="{delivery.id}.json"'
    headers = {**HEADERS, "Content-Disposition": name}
    body = delivery.payload.encode()
    return answer(request.http, body, "application/json", headers=headers)


async def retry(request: DashboardRequest) -> web.Response:
    """Retry a delivery, and wait briefly for the daemon that holds it to apply that."""
    name = request.http.match_info["delivery_id"]
    try:
        async with request.changing("support") as services:
            number = await services.delivery_actions.retry(request.environment_id, name)
    except ConflictError as refused:
        return await _page(request, refused=str(refused), status=409)
    await wait_until_acknowledged(request.pool, number)
    return see_other(request.url("delivery", delivery_id=name), "retried")


async def cancel(request: DashboardRequest) -> web.Response:
    """Cancel a delivery, and wait briefly for the daemon that holds it to apply that."""
    name = request.http.match_info["delivery_id"]
    try:
        async with request.changing() as services:
            number = await services.delivery_actions.cancel(request.environment_id, name)
    except ConflictError as refused:
        return await _page(request, refused=str(refused), status=409)
    await wait_until_acknowledged(request.pool, number)
    return see_other(request.url("delivery", delivery_id=name), "cancelled")


async def _delivery(request: DashboardRequest) -> Delivery:
    name = request.http.match_info["delivery_id"]
    return await request.services.history.delivery(request.environment_id, name)


async def _page(
    request: DashboardRequest, *, refused: str | None = None, status: int = 200
) -> web.Response:
    delivery = await _delivery(request)
    return request.page(
        "delivery.html",
        status=status,
        delivery=delivery,
        webhook=await _webhook(request, delivery),
        now=datetime.now(UTC),
        refused=refused,
    )


async def _webhook(request: DashboardRequest, delivery: Delivery) -> Webhook | None:
    """Return the webhook of a delivery, None if it was deleted, which keeps its deliveries."""
    try:
        return await request.services.webhooks.get(delivery.webhook_id, request.environment_id)
    except NotFoundError:
        return None


PAGES = (
    ("GET", "webhook", list_),
    ("GET", "delivery", one),
    ("GET", "delivery_payload", payload),
    ("POST", "delivery_retry", retry),
    ("POST", "delivery_cancel", cancel),
)
