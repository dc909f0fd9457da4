"""The pages for the deliveries of a webhook, and for one delivery with its attempts."""

from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.core.pagination import Page
from dispatcher.dashboard import filters
from dispatcher.dashboard.protection import HEADERS
from dispatcher.dashboard.rendering import answer
from dispatcher.dashboard.request import Visit, see_other
from dispatcher.dashboard.views import webhook
from dispatcher.services.history_resources import Delivery
from dispatcher.services.inputs.history import DeliveryFilters
from dispatcher.services.propagation import heeded
from dispatcher.services.webhooks import Webhook

FILTERS = ("status", "event", "since", "until")
SHOWN = 50


async def list_(visit: Visit) -> web.Response:
    """Show the deliveries of a webhook, which is the first tab of its page."""
    looked = await webhook.look(visit)
    asked = {name: visit.request.query.get(name, "").strip() for name in FILTERS}
    opened = await filters.opened(visit, (asked["event"],))
    if opened is not None:
        return opened
    before = visit.position()
    wrong: Mapping[str, str] = {}
    try:
        wanted = DeliveryFilters.model_validate_strings(visit.moments(asked), strict=False)
        found = await visit.services.history.deliveries(
            visit.environment_id, looked.webhook.id, wanted, before=before, limit=SHOWN
        )
    except ValidationError as error:
        # Show no rows. Otherwise people would take unfiltered rows for the result.
        found, wrong = Page((), None), filters.in_words(error)
    return webhook.page(
        visit,
        "webhook.html",
        looked,
        tab="deliveries",
        deliveries=found,
        asked=asked,
        filtered=any(asked.values()),
        mistakes=wrong,
        first=before is None,
    )


async def one(visit: Visit) -> web.Response:
    """Show a delivery with its attempts."""
    return await _page(visit)


async def payload(visit: Visit) -> web.Response:
    """Return the exact bytes of the payload, to test a receiver with.

    It is a download, because a browser must not render text that others wrote.
    """
    found = await _delivery(visit)
    if found.payload is None:
        raise NotFoundError("The event is no longer kept.")
    name = f'attachment; filename="{found.id}.json"'
    headers = {**HEADERS, "Content-Disposition": name}
    body = found.payload.encode()
    return answer(visit.request, body, "application/json", headers=headers)


async def retry(visit: Visit) -> web.Response:
    """Retry a delivery, and wait briefly for the daemon that holds it to apply that."""
    name = visit.request.match_info["delivery_id"]
    try:
        async with visit.changing() as services:
            number = await services.delivery_actions.retry(visit.environment_id, name)
    except ConflictError as refused:
        return await _page(visit, refused=str(refused), status=409)
    await heeded(visit.pool, number)
    return see_other(visit.url("delivery", delivery_id=name), "retried")


async def cancel(visit: Visit) -> web.Response:
    """Cancel a delivery, and wait briefly for the daemon that holds it to apply that."""
    name = visit.request.match_info["delivery_id"]
    try:
        async with visit.changing() as services:
            number = await services.delivery_actions.cancel(visit.environment_id, name)
    except ConflictError as refused:
        return await _page(visit, refused=str(refused), status=409)
    await heeded(visit.pool, number)
    return see_other(visit.url("delivery", delivery_id=name), "cancelled")


async def _delivery(visit: Visit) -> Delivery:
    name = visit.request.match_info["delivery_id"]
    return await visit.services.history.delivery(visit.environment_id, name)


async def _page(visit: Visit, *, refused: str | None = None, status: int = 200) -> web.Response:
    found = await _delivery(visit)
    return visit.page(
        "delivery.html",
        status=status,
        delivery=found,
        webhook=await _webhook(visit, found),
        now=datetime.now(UTC),
        refused=refused,
    )


async def _webhook(visit: Visit, found: Delivery) -> Webhook | None:
    """Return the webhook of a delivery, None if it was deleted, which keeps its deliveries."""
    try:
        return await visit.services.webhooks.get(found.webhook_id, visit.environment_id)
    except NotFoundError:
        return None


PAGES = (
    ("GET", "webhook", list_),
    ("GET", "delivery", one),
    ("GET", "delivery_payload", payload),
    ("POST", "delivery_retry", retry),
    ("POST", "delivery_cancel", cancel),
)
