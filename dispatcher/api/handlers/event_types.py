"""Handlers of `/api/event-types`."""

from dispatcher.api.routes import Route
from dispatcher.api.types import Answer, Call, Shape
from dispatcher.services.event_type_resource import EventType
from dispatcher.services.event_types import EventTypes
from dispatcher.services.inputs.event_types import EventTypePut, EventTypeQuery

SHAPE = Shape("event_type", id="name")


def _catalogue(call: Call) -> EventTypes:
    return call.services.event_types


async def list_(call: Call) -> Answer:
    """Return the event types in order of their names, limited in number and bytes."""
    found, more = await _catalogue(call).page(
        call.environment_id,
        after=call.position or "",
        limit=call.limit,
        most_bytes=call.settings.limits.page_bytes,
    )
    return Answer(found, paged=call.is_paged, next=more)


async def get(call: Call) -> Answer:
    """Return an event type."""
    return Answer(await _catalogue(call).get(call.environment_id, call.path["name"]))


async def put(call: Call) -> Answer:
    """Create or replace an event type. Answer 201 if it is new, else 200."""
    type_, made = await call.services.event_type_writer.put(
        call.environment_id, call.path["name"], call.form
    )
    return Answer(type_, 201 if made else 200)


async def delete(call: Call) -> Answer:
    """Delete an event type."""
    await _catalogue(call).delete(call.environment_id, call.path["name"])
    return Answer(status=204)


ONE = "/api/event-types/{name}"

ROUTES = (
    Route(
        method="GET",
        path="/api/event-types",
        name="list_event_types",
        summary="The catalogue, by name; a page of it if a cursor or limit is given, or it is long",
        scope="read",
        handle=list_,
        shape=SHAPE,
        answers=EventType,
        query=EventTypeQuery,
        many=True,
    ),
    Route(
        method="GET",
        path=ONE,
        name="get_event_type",
        summary="One event type",
        scope="read",
        handle=get,
        shape=SHAPE,
        answers=EventType,
    ),
    Route(
        method="PUT",
        path=ONE,
        name="put_event_type",
        summary="Describe an event type, or change what is given of its description",
        scope="write",
        handle=put,
        shape=SHAPE,
        answers=EventType,
        form=EventTypePut,
        otherwise=(201, EventType, SHAPE),
        changes=True,
        own_transaction=True,
    ),
    Route(
        method="DELETE",
        path=ONE,
        name="delete_event_type",
        summary="Take it out of the catalogue; events of the type are delivered all the same",
        scope="write",
        handle=delete,
        shape=SHAPE,
        answers=None,
        status=204,
        changes=True,
    ),
)
