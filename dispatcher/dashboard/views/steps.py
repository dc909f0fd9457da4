"""The steps from an item to the one before or after it in the list that it was opened from."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.pagination import Page
from dispatcher.dashboard.lists import delivery_filter_form, list_context, list_steps
from dispatcher.dashboard.lists.list_context import EVENT_FIELDS, ListContext
from dispatcher.dashboard.lists.list_steps import Read, TooFarError
from dispatcher.dashboard.lists.live_list import Identified
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.services.inputs.history_filters import EventFilters
from dispatcher.services.public_ids import delivery_number, event_number

Step = Callable[[Read, int], Awaitable[str | None]]


async def older_delivery(request: DashboardRequest) -> web.Response:
    """Redirect to the next delivery of the list, which is older."""
    return await _delivery(request, list_steps.older, "oldest")


async def newer_delivery(request: DashboardRequest) -> web.Response:
    """Redirect to the previous delivery of the list, which is newer."""
    return await _delivery(request, list_steps.newer, "newest")


async def older_event(request: DashboardRequest) -> web.Response:
    """Redirect to the next event of the list, which is older."""
    return await _event(request, list_steps.older, "oldest")


async def newer_event(request: DashboardRequest) -> web.Response:
    """Redirect to the previous event of the list, which is newer."""
    return await _event(request, list_steps.newer, "newest")


async def _delivery(request: DashboardRequest, step: Step, end: str) -> web.Response:
    context = list_context.read(request, "delivery")
    typed_filter = await delivery_filter_form.read(
        request, {} if context is None else context.given
    )

    async def read(after: int, before: int, limit: int) -> Page[Identified, int]:
        page = await request.services.history.deliveries(
            request.environment_id,
            typed_filter.webhook_id,
            typed_filter.filters,
            before=before,
            after=after,
            limit=limit,
        )
        return Page(page.items, page.next)

    return await _go(request, "delivery", context, None if typed_filter.wrong else read, step, end)


async def _event(request: DashboardRequest, step: Step, end: str) -> web.Response:
    context = list_context.read(request, "event")
    filters = {} if context is None else context.given
    try:
        fields = {field: filters.get(field, "") for field in EVENT_FIELDS}
        chosen = EventFilters.model_validate_strings(request.moments(fields), strict=False)
    except ValidationError:
        return await _go(request, "event", context, None, step, end)

    async def read(after: int, before: int, limit: int) -> Page[Identified, int]:
        page = await request.services.history.events(
            request.environment_id, chosen, before=before, after=after, limit=limit
        )
        return Page(page.items, page.next)

    return await _go(request, "event", context, read, step, end)


async def _go(
    request: DashboardRequest,
    kind: str,
    context: ListContext | None,
    read: Read | None,
    step: Step,
    end: str,
) -> web.Response:
    """Redirect to the item that a step leads to.

    At the end of the list, and without a list, redirect to the item itself. Redirect to the list if
    its filter is invalid, or if the next item is too far away.
    """
    name = request.http.match_info[f"{kind}_id"]
    if context is None or read is None:
        return see_other(
            request.url(kind, **{f"{kind}_id": name}) if context is None else context.link
        )
    try:
        item_id = await step(read, _number(kind, name))
    except TooFarError:
        return see_other(context.link, "too_far")
    address = request.url(kind, context.query, **{f"{kind}_id": item_id or name})
    return see_other(address, None if item_id else end)


def _number(kind: str, name: str) -> int:
    return delivery_number(name) if kind == "delivery" else event_number(name)


PAGES = (
    ("GET", "delivery_older", older_delivery),
    ("GET", "delivery_newer", newer_delivery),
    ("GET", "event_older", older_event),
    ("GET", "event_newer", newer_event),
)
