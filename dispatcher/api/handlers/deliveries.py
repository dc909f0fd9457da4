"""Handlers of `/api/deliveries` and of the deliveries of one webhook."""

from uuid import UUID

from dispatcher.api.pages import page_limit, page_result
from dispatcher.api.routes import Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.core import ids
from dispatcher.services.deliveries.history_resources import Attempt, Delivery, DeliveryItem
from dispatcher.services.inputs.history_filters import (
    AllDeliveriesQuery,
    DeliveryFilters,
    DeliveryQuery,
)
from dispatcher.services.inputs.webhook_inputs import Empty
from dispatcher.services.propagation import wait_until_acknowledged

ONE = "/api/deliveries/{delivery_id}"

routes = Routes(Shape("delivery"))


@routes.get("/api/webhooks/{webhook_id}/deliveries", scope="read", page=True)
async def list_webhook_deliveries(
    call: Call, query: DeliveryQuery
) -> HandlerResult[tuple[DeliveryItem, ...]]:
    """List the deliveries of a webhook, newest first."""
    return await _deliveries(call, query, call.uuid("webhook_id"))


@routes.get("/api/deliveries", scope="read", page=True)
async def list_deliveries(
    call: Call, query: AllDeliveriesQuery
) -> HandlerResult[tuple[DeliveryItem, ...]]:
    """List the deliveries of all webhooks, newest first."""
    return await _deliveries(call, query, query.webhook_id)


@routes.get(ONE, scope="read")
async def get_delivery(call: Call) -> HandlerResult[Delivery]:
    """Return a delivery with its attempts, at most the newest 200."""
    delivery_name = call.path["delivery_id"]
    return HandlerResult(await call.services.history.delivery(call.environment_id, delivery_name))


@routes.get(f"{ONE}/attempts", scope="read", shape=Shape("attempt", id="number"))
async def list_attempts(call: Call) -> HandlerResult[tuple[Attempt, ...]]:
    """List the attempts of a delivery, oldest first."""
    delivery_name = call.path["delivery_id"]
    return HandlerResult(await call.services.history.attempts(call.environment_id, delivery_name))


@routes.post(f"{ONE}/retry", scope="support", transaction=True, waits=True)
async def retry_delivery(call: Call, form: Empty) -> HandlerResult[Delivery]:
    """Send a delivery again, or at once if it is pending."""
    actions, delivery_name = call.services.delivery_actions, call.path["delivery_id"]
    return await _read_changed(call, await actions.retry(call.environment_id, delivery_name))


@routes.post(f"{ONE}/cancel", scope="write", transaction=True, waits=True)
async def cancel_delivery(call: Call, form: Empty) -> HandlerResult[Delivery]:
    """Cancel a pending delivery, so that it is no longer sent."""
    actions, delivery_name = call.services.delivery_actions, call.path["delivery_id"]
    return await _read_changed(call, await actions.cancel(call.environment_id, delivery_name))


async def _deliveries(
    call: Call, query: DeliveryQuery, webhook_id: UUID | None
) -> HandlerResult[tuple[DeliveryItem, ...]]:
    """Return a page of the deliveries of one webhook, or of all if `webhook_id` is None."""
    page = await call.services.history.deliveries(
        call.environment_id,
        webhook_id,
        DeliveryFilters(**{name: getattr(query, name) for name in DeliveryFilters.model_fields}),
        before=call.before,
        limit=page_limit(query),
    )
    return page_result(page)


async def _read_changed(call: Call, delivery_id: int) -> HandlerResult[Delivery]:
    """Return the changed delivery.

    The response waits briefly for the daemon that holds the delivery to apply the change.
    """
    delivery_name = ids.delivery_name(delivery_id)
    delivery = await call.services.history.delivery(call.environment_id, delivery_name)
    return HandlerResult(
        delivery, wait_until_applied=lambda pool: wait_until_acknowledged(pool, delivery_id)
    )
