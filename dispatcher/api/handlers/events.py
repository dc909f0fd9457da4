"""Handlers of `/api/events`."""

from dataclasses import replace
from typing import TypeVar

from dispatcher.api.pages import page_limit, page_result
from dispatcher.api.routes import Batch, Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.core.model import RawJson
from dispatcher.core.pagination import Page
from dispatcher.services.deliveries.history_resources import DeliveryItem, Event, EventItem
from dispatcher.services.events import EmittedEvent
from dispatcher.services.inputs.base import ListQuery
from dispatcher.services.inputs.event_inputs import BatchEvent, NewEvent
from dispatcher.services.inputs.history_filters import EventFilters, EventQuery
from dispatcher.store.queries.events import NewEventRow

Item = TypeVar("Item", bound=EventItem)

routes = Routes(Shape("event"))


async def emit_events(call: Call) -> HandlerResult[tuple[EmittedEvent, ...]]:
    """Emit many events, all or none. Return their ids in the same order."""
    emitted = await call.services.events.emit_batch(call.environment_id, call.events)
    return HandlerResult(emitted, 201)


@routes.post(
    "/api/events",
    scope="write",
    status=201,
    own_transaction=True,
    verbatim_field="data",
    own_idempotency=True,
    own_environment_check=True,
    batch=Batch(BatchEvent, emit_events),
)
async def emit_event(call: Call, form: NewEvent) -> HandlerResult[Event]:
    """Emit an event. A request with the same Idempotency-Key returns the first event.

    The data is stored and sent byte for byte as in the body.
    """
    data, key = call.verbatim or RawJson("null"), call.idempotency_key
    row = NewEventRow(form.type, data, key, form.reference)
    event = await call.services.events.emit_new(call.environment_id, row)
    is_repeated = event is None
    if event is None:
        name = await call.services.events.emit(call.environment_id, form, data, key=key)
        event = await call.services.history.event(call.environment_id, name)
    location = f"/api/events/{event.id}"
    return HandlerResult(event, 201, location=location, is_replayed=is_repeated)


@routes.get("/api/events", scope="read", page=True)
async def list_events(call: Call, query: EventQuery) -> HandlerResult[tuple[EventItem, ...]]:
    """List the events, newest first."""
    filters = EventFilters(**{name: getattr(query, name) for name in EventFilters.model_fields})
    page = await call.services.history.events(
        call.environment_id, filters, before=call.before, limit=page_limit(query)
    )
    if query.outcome:
        page = Page(await _with_outcomes(call, page.items), page.next)
    return page_result(page)


@routes.get("/api/events/{event_id}", scope="read")
async def get_event(call: Call) -> HandlerResult[Event]:
    """Return an event with its newest deliveries."""
    event = await call.services.history.event(call.environment_id, call.path["event_id"])
    return HandlerResult((await _with_outcomes(call, (event,)))[0])


@routes.get("/api/events/{event_id}/deliveries", scope="read", page=True, shape=Shape("delivery"))
async def list_event_deliveries(
    call: Call, query: ListQuery
) -> HandlerResult[tuple[DeliveryItem, ...]]:
    """List the deliveries of an event, newest first."""
    page = await call.services.history.deliveries_of_event(
        call.environment_id,
        call.path["event_id"],
        before=call.before,
        limit=page_limit(query),
    )
    return page_result(page)


async def _with_outcomes(call: Call, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return the events with how their deliveries went."""
    outcomes = await call.services.event_outcomes.of(
        call.environment_id, [item.id for item in items]
    )
    return tuple(replace(item, outcome=outcomes.get(item.id)) for item in items)
