"""Handlers of `/api/event-types`."""

from dispatcher.api.pages import list_limit, list_result
from dispatcher.api.routes import Alternative, Routes
from dispatcher.api.types import NO_CONTENT, Call, HandlerResult, Shape
from dispatcher.services.event_types.event_type_resource import EventType
from dispatcher.services.inputs.event_type_inputs import EventTypePut, EventTypeQuery

SHAPE = Shape("event_type", id="name")
ONE = "/api/event-types/{name}"

routes = Routes(SHAPE)


@routes.get("/api/event-types", scope="read")
async def list_event_types(
    call: Call, query: EventTypeQuery
) -> HandlerResult[tuple[EventType, ...]]:
    """List the event types by name; a page if a cursor or limit is given, or if there are many."""
    page = await call.services.event_types.page(
        call.environment_id,
        after=call.position or "",
        limit=list_limit(call, query),
        most_bytes=call.settings.limits.page_bytes,
    )
    return list_result(call, query, page)


@routes.get(ONE, scope="read")
async def get_event_type(call: Call) -> HandlerResult[EventType]:
    """Return an event type."""
    return HandlerResult(
        await call.services.event_types.get(call.environment_id, call.path["name"])
    )


@routes.put(
    ONE, scope="write", alternative=Alternative(201, EventType, SHAPE), own_transaction=True
)
async def put_event_type(call: Call, form: EventTypePut) -> HandlerResult[EventType]:
    """Create an event type, or change the given fields of an existing one.

    The status is 201 if the type is new, else 200.
    """
    writer = call.services.event_type_writer
    event_type, is_new = await writer.put(call.environment_id, call.path["name"], form)
    return HandlerResult(event_type, 201 if is_new else 200)


@routes.delete(ONE, scope="write", transaction=True)
async def delete_event_type(call: Call) -> HandlerResult[None]:
    """Delete an event type. Events of this type may still be emitted."""
    await call.services.event_types.delete(call.environment_id, call.path["name"])
    return NO_CONTENT
