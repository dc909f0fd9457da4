"""The pages for events: the list, one event, and the form to emit one."""

from collections.abc import Mapping
from functools import partial

from aiohttp import web
from pydantic import ValidationError

from dispatcher.api.requests import json_body
from dispatcher.api.types import HttpError
from dispatcher.core import ids
from dispatcher.core.errors import InvalidError
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import Page
from dispatcher.dashboard import event_outcome, typed_ids
from dispatcher.dashboard.lists import filter_messages, list_context, live_list
from dispatcher.dashboard.lists.live_list import LiveList
from dispatcher.dashboard.protection import HEADERS
from dispatcher.dashboard.rendering import answer
from dispatcher.dashboard.request import PAGE_SIZE, DashboardRequest, field_errors, see_other
from dispatcher.services.deliveries.history import DELIVERIES_OF_EVENT_LIMIT
from dispatcher.services.deliveries.history_resources import DeliveryItem, Event, EventItem
from dispatcher.services.inputs.event_inputs import NewEvent
from dispatcher.services.inputs.history_filters import EventFilters

FILTERS = ("id", "type", "since", "until")


async def list_(request: DashboardRequest) -> web.Response:
    """Show a page of events that match the filters."""
    typed = {name: request.http.query.get(name, "").strip() for name in FILTERS}
    elsewhere = await typed_ids.item_redirect(request, (typed["type"], *_elsewhere(typed["id"])))
    if elsewhere is not None:
        return elsewhere
    wrong: Mapping[str, str] = {}
    try:
        chosen = EventFilters.model_validate_strings(request.moments(typed), strict=False)
        listing = await live_list.read(request, partial(_page, request, chosen))
    except ValidationError as error:
        # Show no rows. Otherwise people would take unfiltered rows for the result.
        listing, wrong = LiveList(Page((), None)), filter_messages.in_words(error)
    outcomes = await request.services.event_outcomes.of(
        request.environment_id, [event.id for event in listing.page.items]
    )
    return request.page(
        "events.html",
        events=listing.page,
        live_list=listing,
        outcomes=outcomes,
        typed=typed,
        field_errors=wrong,
        first=request.position() is None,
    )


async def _page(
    request: DashboardRequest, chosen: EventFilters, before: int | None
) -> Page[EventItem, int]:
    return await request.services.history.events(
        request.environment_id, chosen, before=before, limit=PAGE_SIZE
    )


def _elsewhere(typed: str) -> tuple[str, ...]:
    """Return the text in the id filter, unless it is an event id.

    It may be the id of another item.
    """
    return () if typed.startswith("evt_") else (typed,)


async def one(request: DashboardRequest) -> web.Response:
    """Show an event."""
    name = request.http.match_info["event_id"]
    history, before = request.services.history, request.position()
    event = await history.event(request.environment_id, name)
    deliveries = _newest(event)
    if before is not None:
        deliveries = await history.deliveries_of_event(
            request.environment_id, name, before=before, limit=DELIVERIES_OF_EVENT_LIMIT
        )
    return request.page(
        "event.html",
        event=event,
        outcome=await event_outcome.read(request, event),
        deliveries=deliveries,
        first=before is None,
        names=await request.services.webhook_names.of(
            request.environment_id, {delivery.webhook_id for delivery in deliveries.items}
        ),
        context=list_context.read(request, "event"),
    )


def _newest(event: Event) -> Page[DeliveryItem, int]:
    """Return the deliveries of an event as the first page of all of them."""
    last = ids.number_of(event.deliveries[-1].id) if event.more_deliveries else None
    return Page(event.deliveries, last)


async def data(request: DashboardRequest) -> web.Response:
    """Return the exact bytes of an event's data, as a download."""
    name = request.http.match_info["event_id"]
    event = await request.services.history.event(request.environment_id, name)
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{event.id}.json"'}
    return answer(request.http, (event.data or "").encode(), "application/json", headers=headers)


async def new(request: DashboardRequest) -> web.Response:
    """Show the form to emit an event."""
    request.demand("write")
    return await _form(request, {"type": request.http.query.get("type", "")})


async def emit(request: DashboardRequest) -> web.Response:
    """Emit an event, and redirect to its page."""
    typed = await request.fields()
    text = typed.get("data", "").strip()
    try:
        json_body.check(text.encode())
    except HttpError as failure:
        return await _form(request, typed, {"data": failure.title}, status=422)
    try:
        form = NewEvent(type=typed.get("type", "").strip(), data=None)
        async with request.changing() as services:
            name = await services.events.emit(request.environment_id, form, RawJson(text))
    except (ValidationError, InvalidError) as error:
        return await _form(request, typed, field_errors(error), status=422)
    return see_other(request.url("event", event_id=name), "emitted")


async def _form(
    request: DashboardRequest,
    typed: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    types = await request.services.event_types.list(request.environment_id)
    chosen = typed.get("type", "")
    known = any(event_type.name == chosen for event_type in types)
    return request.page(
        "event_new.html",
        status=status,
        typed=typed,
        types=types,
        example=await request.services.event_types.sample(request.environment_id, chosen)
        if known
        else None,
        field_errors=wrong or {},
    )


PAGES = (
    ("GET", "events", list_),
    ("GET", "event_new", new),
    ("POST", "event_new", emit),
    ("GET", "event", one),
    ("GET", "event_data", data),
)
