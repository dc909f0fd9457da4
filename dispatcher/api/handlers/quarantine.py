"""Handlers of `/api/quarantine`."""

from dispatcher.api.pages import page_limit, page_result
from dispatcher.api.routes import Routes
from dispatcher.api.types import NO_CONTENT, Call, HandlerResult, Shape
from dispatcher.services.inputs.base import ListQuery
from dispatcher.services.inputs.webhook_inputs import Empty
from dispatcher.services.quarantine import QuarantinedEvent

ONE = "/api/quarantine/{quarantine_id}"

routes = Routes(Shape("quarantined_event"))


@routes.get("/api/quarantine", scope="read", page=True)
async def list_quarantined_events(
    call: Call, query: ListQuery
) -> HandlerResult[tuple[QuarantinedEvent, ...]]:
    """List the entries in quarantine with the reason of each, newest first."""
    page = await call.services.quarantine.list(
        call.environment_id, before=call.before, limit=page_limit(query)
    )
    return page_result(page)


@routes.get(ONE, scope="read")
async def get_quarantined_event(call: Call) -> HandlerResult[QuarantinedEvent]:
    """Return an entry in quarantine."""
    quarantine_id = call.path["quarantine_id"]
    return HandlerResult(await call.services.quarantine.get(call.environment_id, quarantine_id))


@routes.post(f"{ONE}/release", scope="write", status=204, transaction=True)
async def release_quarantined_event(call: Call, form: Empty) -> HandlerResult[None]:
    """Release an entry: its event is fanned out, or its delivery is sent again."""
    await call.services.quarantine.release(call.environment_id, call.path["quarantine_id"])
    return NO_CONTENT


@routes.delete(ONE, scope="write", transaction=True)
async def discard_quarantined_event(call: Call) -> HandlerResult[None]:
    """Discard an entry: its event is not fanned out, or its delivery is cancelled.

    The event itself is kept. A recovery that covers its time still sends it.
    """
    await call.services.quarantine.discard(call.environment_id, call.path["quarantine_id"])
    return NO_CONTENT
