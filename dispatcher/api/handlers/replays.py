"""Handlers of `/api/webhooks/{id}/recover` and of the replays that it starts.

The API calls a replay a recovery.
"""

from dispatcher.api.pages import page_limit, page_result
from dispatcher.api.routes import Alternative, Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.services.deliveries.replays import Preview, Recovery
from dispatcher.services.inputs.base import ListQuery
from dispatcher.services.inputs.replay_inputs import NewRecovery
from dispatcher.services.inputs.webhook_inputs import Empty

PREVIEW = Shape("recovery_preview", id="webhook_id")
LIST = "/api/webhooks/{webhook_id}/recoveries"
ONE = f"{LIST}/{{recovery_id}}"

routes = Routes(Shape("recovery"))


@routes.post(
    "/api/webhooks/{webhook_id}/recover",
    scope="support",
    status=202,
    alternative=Alternative(200, Preview, PREVIEW),
    transaction=True,
)
async def recover_webhook(call: Call, form: NewRecovery) -> HandlerResult[Recovery | Preview]:
    """Send what failed or was missed in a time span, or count it with `dry_run`."""
    webhook_id, replays = call.uuid("webhook_id"), call.services.replays
    if form.dry_run:
        preview = await replays.preview(call.environment_id, webhook_id, form)
        return HandlerResult(preview, shape=PREVIEW)
    replay = await replays.start(call.environment_id, webhook_id, form)
    return HandlerResult(replay, 202, location=f"{LIST.format(webhook_id=webhook_id)}/{replay.id}")


@routes.get(LIST, scope="read", page=True)
async def list_recoveries(call: Call, query: ListQuery) -> HandlerResult[tuple[Recovery, ...]]:
    """List the recoveries of a webhook, newest first."""
    webhook_id = call.uuid("webhook_id")
    await call.services.webhooks.get(webhook_id, call.environment_id)
    page = await call.services.replays.list(
        call.environment_id, webhook_id, before=call.before, limit=page_limit(query)
    )
    return page_result(page)


@routes.get(ONE, scope="read")
async def get_recovery(call: Call) -> HandlerResult[Recovery]:
    """Return a recovery with its progress."""
    webhook_id, recovery_name = call.uuid("webhook_id"), call.path["recovery_id"]
    return HandlerResult(
        await call.services.replays.get(call.environment_id, webhook_id, recovery_name)
    )


@routes.post(f"{ONE}/cancel", scope="support", transaction=True)
async def cancel_recovery(call: Call, form: Empty) -> HandlerResult[Recovery]:
    """Cancel a recovery. Deliveries that it has created are still sent."""
    webhook_id, recovery_name = call.uuid("webhook_id"), call.path["recovery_id"]
    replays = call.services.replays
    return HandlerResult(await replays.cancel(call.environment_id, webhook_id, recovery_name))
