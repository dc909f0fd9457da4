"""Handlers of `/api/bulk-actions`, which retry or cancel many deliveries."""

from datetime import UTC, datetime

from dispatcher.api.pages import page_limit, page_result
from dispatcher.api.routes import Alternative, Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.core.errors import ForbiddenError
from dispatcher.services.deliveries.bulk_actions import BulkAction, BulkCount
from dispatcher.services.inputs.base import ListQuery
from dispatcher.services.inputs.bulk_action_inputs import NewBulkAction
from dispatcher.services.inputs.webhook_inputs import Empty

COUNT = Shape("bulk_action_count", id="below")
LIST = "/api/bulk-actions"
ONE = f"{LIST}/{{bulk_action_id}}"

routes = Routes(Shape("bulk_action"))


@routes.post(
    LIST,
    scope="support",
    status=202,
    alternative=Alternative(200, BulkCount, COUNT),
    transaction=True,
)
async def start_bulk_action(
    call: Call, form: NewBulkAction
) -> HandlerResult[BulkAction | BulkCount]:
    """Retry or cancel all deliveries that a filter selects, or count them with `dry_run`.

    Raise ForbiddenError if the token does not allow it.
    """
    _check_scope(call, form.action)
    actions, now = call.services.bulk_actions, datetime.now(UTC)
    counted = await actions.count(call.environment_id, form, now)
    if form.dry_run:
        return HandlerResult(counted, shape=COUNT)
    started = await actions.start(call.environment_id, form, counted, now)
    return HandlerResult(started, 202, location=f"{LIST}/{started.id}")


@routes.get(LIST, scope="read", page=True)
async def list_bulk_actions(call: Call, query: ListQuery) -> HandlerResult[tuple[BulkAction, ...]]:
    """List the bulk actions, newest first."""
    page = await call.services.bulk_actions.list(
        call.environment_id, before=call.before, limit=page_limit(query)
    )
    return page_result(page)


@routes.get(ONE, scope="read")
async def get_bulk_action(call: Call) -> HandlerResult[BulkAction]:
    """Return a bulk action with its progress."""
    name = call.path["bulk_action_id"]
    return HandlerResult(await call.services.bulk_actions.get(call.environment_id, name))


@routes.post(f"{ONE}/cancel", scope="support", transaction=True)
async def cancel_bulk_action(call: Call, form: Empty) -> HandlerResult[BulkAction]:
    """Cancel a bulk action. What it has done stays done.

    Raise ForbiddenError if the token does not allow it.
    """
    name, actions = call.path["bulk_action_id"], call.services.bulk_actions
    _check_scope(call, (await actions.get(call.environment_id, name)).action)
    return HandlerResult(await actions.cancel(call.environment_id, name))


def _check_scope(call: Call, action: str) -> None:
    """Raise ForbiddenError unless the token may do this. To cancel is more than to retry."""
    if action == "cancel" and not call.principal.may("write"):
        raise ForbiddenError(
            "The token lacks the scope `write`, without which no delivery is cancelled."
        )
