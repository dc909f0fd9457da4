"""Handlers of `/api/events` and of the quarantine."""

from dispatcher.api.pipeline import page_limit
from dispatcher.api.routes import Route
from dispatcher.api.types import Answer, Call, Shape
from dispatcher.core.model import RawJson
from dispatcher.services.history_resources import Event, EventItem
from dispatcher.services.inputs.events import NewEvent
from dispatcher.services.inputs.history import EventFilters, EventQuery
from dispatcher.services.inputs.recoveries import ReplayQuery
from dispatcher.services.inputs.webhooks import Empty
from dispatcher.services.quarantine import Quarantine, Quarantined

SHAPE = Shape("event")
QUARANTINED = Shape("quarantined_event")


async def emit(call: Call) -> Answer:
    """Emit an event with its data byte for byte. Return the event."""
    name = await call.services.events.emit(
        call.environment_id, call.form, call.raw or RawJson("null"), key=call.idempotency_key
    )
    event = await call.services.history.event(call.environment_id, name)
    return Answer(event, 201, location=f"/api/events/{name}")


async def list_(call: Call) -> Answer:
    """Return a page of events."""
    query: EventQuery = call.query
    filters = EventFilters(id=query.id, type=query.type, since=query.since, until=query.until)
    page = await call.services.history.events(
        call.environment_id, filters, before=call.before, limit=page_limit(query)
    )
    return Answer.of(page)


async def get(call: Call) -> Answer:
    """Return an event."""
    name = call.path["event_id"]
    return Answer(await call.services.history.event(call.environment_id, name))


def _quarantine(call: Call) -> Quarantine:
    return call.services.quarantine


async def list_quarantined(call: Call) -> Answer:
    """Return a page of the events in quarantine."""
    page = await _quarantine(call).list(
        call.environment_id, before=call.before, limit=page_limit(call.query)
    )
    return Answer.of(page)


async def get_quarantined(call: Call) -> Answer:
    """Return an event in quarantine."""
    return Answer(await _quarantine(call).get(call.environment_id, call.path["quarantine_id"]))


async def release(call: Call) -> Answer:
    """Release an event from quarantine, so that it is fanned out."""
    await _quarantine(call).release(call.environment_id, call.path["quarantine_id"])
    return Answer(status=204)


async def discard(call: Call) -> Answer:
    """Discard an event in quarantine, so that it is never fanned out."""
    await _quarantine(call).discard(call.environment_id, call.path["quarantine_id"])
    return Answer(status=204)


ROUTES = (
    Route(
        method="POST",
        path="/api/events",
        name="emit_event",
        summary="Emit an event; the same Idempotency-Key again emits nothing",
        scope="write",
        handle=emit,
        shape=SHAPE,
        answers=Event,
        form=NewEvent,
        status=201,
        changes=True,
        raw="data",
        keyed=True,
    ),
    Route(
        method="GET",
        path="/api/events",
        name="list_events",
        summary="Events, newest first",
        scope="read",
        handle=list_,
        shape=SHAPE,
        answers=EventItem,
        query=EventQuery,
        many=True,
        paged=True,
    ),
    Route(
        method="GET",
        path="/api/events/{event_id}",
        name="get_event",
        summary="One event, with its deliveries",
        scope="read",
        handle=get,
        shape=SHAPE,
        answers=Event,
    ),
    Route(
        method="GET",
        path="/api/quarantine",
        name="list_quarantined_events",
        summary="Events that could not be fanned out, and why; newest first",
        scope="read",
        handle=list_quarantined,
        shape=QUARANTINED,
        answers=Quarantined,
        query=ReplayQuery,
        many=True,
        paged=True,
    ),
    Route(
        method="GET",
        path="/api/quarantine/{quarantine_id}",
        name="get_quarantined_event",
        summary="One of them",
        scope="read",
        handle=get_quarantined,
        shape=QUARANTINED,
        answers=Quarantined,
    ),
    Route(
        method="POST",
        path="/api/quarantine/{quarantine_id}/release",
        name="release_quarantined_event",
        summary="Fan it out after all",
        scope="write",
        handle=release,
        shape=QUARANTINED,
        answers=None,
        form=Empty,
        status=204,
        changes=True,
    ),
    Route(
        method="DELETE",
        path="/api/quarantine/{quarantine_id}",
        name="discard_quarantined_event",
        summary="Never fan it out; the event itself stays",
        scope="write",
        handle=discard,
        shape=QUARANTINED,
        answers=None,
        status=204,
        changes=True,
    ),
)
