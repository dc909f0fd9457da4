"""Handlers of `/api/webhooks/{id}/recover` and of the recoveries it starts."""

from dispatcher.api.pipeline import page_limit, uuid
from dispatcher.api.routes import Route
from dispatcher.api.types import Answer, Call, Shape
from dispatcher.services.inputs.recoveries import NewRecovery, ReplayQuery
from dispatcher.services.inputs.webhooks import Empty
from dispatcher.services.replays import Preview, Recovery, Replays

SHAPE = Shape("recovery")
PREVIEW = Shape("recovery_preview", id="webhook_id")


def _recoveries(call: Call) -> Replays:
    return call.services.replays


async def start(call: Call) -> Answer:
    """Start a recovery, or with `dry_run` only count what it would send."""
    webhook_id = uuid(call.path["webhook_id"])
    if call.form.dry_run:
        counted = await _recoveries(call).preview(call.environment_id, webhook_id, call.form)
        return Answer(counted, shape=PREVIEW)
    started = await _recoveries(call).start(call.environment_id, webhook_id, call.form)
    return Answer(started, 202, location=f"{LIST.format(webhook_id=webhook_id)}/{started.id}")


async def list_(call: Call) -> Answer:
    """Return a page of the recoveries of a webhook."""
    webhook_id = uuid(call.path["webhook_id"])
    await call.services.webhooks.get(webhook_id, call.environment_id)
    page = await _recoveries(call).list(
        call.environment_id,
        webhook_id,
        before=call.before,
        limit=page_limit(call.query),
    )
    return Answer.of(page)


async def get(call: Call) -> Answer:
    """Return a recovery."""
    webhook_id = uuid(call.path["webhook_id"])
    return Answer(
        await _recoveries(call).get(call.environment_id, webhook_id, call.path["recovery_id"])
    )


async def cancel(call: Call) -> Answer:
    """Cancel a recovery. Deliveries that it has created are still sent."""
    webhook_id = uuid(call.path["webhook_id"])
    return Answer(
        await _recoveries(call).cancel(call.environment_id, webhook_id, call.path["recovery_id"])
    )


LIST = "/api/webhooks/{webhook_id}/recoveries"
ONE = f"{LIST}/{{recovery_id}}"

ROUTES = (
    Route(
        method="POST",
        path="/api/webhooks/{webhook_id}/recover",
        name="recover_webhook",
        summary="Send again what failed or was missed since a time, or count it with dry_run",
        scope="write",
        handle=start,
        shape=SHAPE,
        answers=Recovery,
        form=NewRecovery,
        status=202,
        otherwise=(200, Preview, PREVIEW),
        changes=True,
    ),
    Route(
        method="GET",
        path=LIST,
        name="list_recoveries",
        summary="The recoveries of a webhook, newest first",
        scope="read",
        handle=list_,
        shape=SHAPE,
        answers=Recovery,
        query=ReplayQuery,
        many=True,
        paged=True,
    ),
    Route(
        method="GET",
        path=ONE,
        name="get_recovery",
        summary="How far a recovery is",
        scope="read",
        handle=get,
        shape=SHAPE,
        answers=Recovery,
    ),
    Route(
        method="POST",
        path=f"{ONE}/cancel",
        name="cancel_recovery",
        summary="Make no more of it",
        scope="write",
        handle=cancel,
        shape=SHAPE,
        answers=Recovery,
        form=Empty,
        changes=True,
    ),
)
