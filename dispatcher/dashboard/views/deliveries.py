"""The deliveries of all webhooks: the list, and failures by cause."""

from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from dispatcher.core import ids
from dispatcher.core.pagination import Page
from dispatcher.dashboard import addresses, typed_ids
from dispatcher.dashboard.lists import delivery_filter_form, live_list
from dispatcher.dashboard.lists.delivery_filter_form import TypedFilter
from dispatcher.dashboard.lists.live_list import LiveList
from dispatcher.dashboard.request import PAGE_SIZE, DashboardRequest
from dispatcher.services.deliveries.failures import Causes
from dispatcher.services.deliveries.history_resources import DeliveryItem

ROUNDS_LIMIT: Final = 200
"""Times that a page searches on by itself for rows that match. After that, people decide."""
CAUSES_SPAN: Final = timedelta(days=1)
"""The time range of causes if the filter has none."""


async def list_(request: DashboardRequest) -> web.Response:
    """Show deliveries of all webhooks that match the filter.

    If few of very many match, the page shows how far it has searched, and goes on by itself.
    """
    typed_filter = await delivery_filter_form.read(request, request.http.query)
    typed = typed_filter.typed
    elsewhere = await typed_ids.item_redirect(request, (typed["event"], typed["reference"]))
    if elsewhere is not None:
        return elsewhere
    missing, rounds = _number(request, "missing", PAGE_SIZE), _number(request, "round", 0)
    limit = min(max(missing, 1), PAGE_SIZE)
    found_list = await _read(request, typed_filter, limit)
    page, is_update = found_list.page, addresses.SHOWN in request.http.query
    names = await request.services.webhook_names.of(
        request.environment_id, {item.webhook_id for item in page.items}
    )
    is_part = "round" in request.http.query
    # A live update shows what the page has found. It does not search on for rows that have changed.
    searches_on = (
        page.next is not None
        and len(page.items) < limit
        and rounds < ROUNDS_LIMIT
        and not is_update
    )
    return request.page(
        "deliveries.html",
        deliveries=page,
        names=names,
        typed_filter=typed_filter,
        field_errors=typed_filter.wrong,
        before=request.position(),
        missing=limit - len(page.items),
        round=rounds,
        searches_on=searches_on,
        live_list=found_list,
        is_live=not (searches_on or is_part or typed_filter.wrong or request.position()),
        looked_to=None if page.next is None else ids.created_at(page.next),
        is_part=is_part,
    )


async def causes(request: DashboardRequest) -> web.Response:
    """Show failed deliveries by cause: of the last day, or of the time range of the filter."""
    typed_filter = await delivery_filter_form.read(request, request.http.query)
    now = datetime.now(UTC)
    filters = typed_filter.filters
    if filters.since is None and filters.until is None:
        filters = filters.model_copy(update={"since": now - CAUSES_SPAN})
    failure_causes = Causes((), None)
    if not typed_filter.wrong:
        failure_causes = await request.services.failures.causes(
            request.environment_id, filters, typed_filter.webhook_id
        )
    names = await request.services.webhook_names.of(
        request.environment_id, {cause.webhook_id for cause in failure_causes.items}
    )
    return request.page(
        "causes.html",
        causes=failure_causes,
        names=names,
        typed_filter=typed_filter,
        field_errors=typed_filter.wrong,
        since=filters.since,
        until=filters.until,
    )


async def _read(
    request: DashboardRequest, typed_filter: TypedFilter, limit: int
) -> LiveList[DeliveryItem]:
    if typed_filter.wrong:
        # Show no rows. Otherwise people would take unfiltered rows for the result.
        return LiveList(Page((), None))

    async def page(before: int | None) -> Page[DeliveryItem, int]:
        return await request.services.history.deliveries(
            request.environment_id,
            typed_filter.webhook_id,
            typed_filter.filters,
            before=before,
            limit=limit,
        )

    return await live_list.read(request, page)


def _number(request: DashboardRequest, name: str, default: int) -> int:
    """Return a small number of the query. Anything else counts as the default."""
    text = request.http.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else default


PAGES = (
    ("GET", "deliveries", list_),
    ("GET", "causes", causes),
)
