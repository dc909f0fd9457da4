"""Handlers of `/api/deliveries` and of the deliveries of one webhook."""

from dispatcher.api.pipeline import page_limit, uuid
from dispatcher.api.routes import Route
from dispatcher.api.types import Answer, Call, Shape
from dispatcher.core import ids
from dispatcher.services.history_resources import Attempt, Delivery, DeliveryItem
from dispatcher.services.inputs.history import DeliveryFilters, DeliveryQuery
from dispatcher.services.inputs.webhooks import Empty
from dispatcher.services.propagation import wait_until_acknowledged

SHAPE = Shape("delivery")


async def of_webhook(call: Call) -> Answer:
    """Return a page of the deliveries of a webhook."""
    webhook_id = uuid(call.path["webhook_id"])
    return Answer.of(
        await call.services.history.deliveries(
            call.environment_id,
            webhook_id,
            _filters(call.query),
            before=call.before,
            limit=page_limit(call.query),
        )
    )


async def of_all(call: Call) -> Answer:
    """Return a page of the deliveries of the environment."""
    return Answer.of(
        await call.services.history.deliveries(
            call.environment_id,
            filters=_filters(call.query),
            before=call.before,
            limit=page_limit(call.query),
        )
    )


async def get(call: Call) -> Answer:
    """Return a delivery."""
    name = call.path["delivery_id"]
    return Answer(await call.services.history.delivery(call.environment_id, name))


async def attempts(call: Call) -> Answer:
    """Return the attempts of a delivery."""
    name = call.path["delivery_id"]
    return Answer(await call.services.history.attempts(call.environment_id, name))


async def retry(call: Call) -> Answer:
    """Retry a delivery now."""
    return await _changed(
        call,
        await call.services.delivery_actions.retry(call.environment_id, call.path["delivery_id"]),
    )


async def cancel(call: Call) -> Answer:
    """Cancel a pending delivery."""
    return await _changed(
        call,
        await call.services.delivery_actions.cancel(call.environment_id, call.path["delivery_id"]),
    )


async def _changed(call: Call, delivery_id: int) -> Answer:
    """Return the changed delivery.

    The response waits briefly for the daemon that holds the delivery to apply the change.
    """
    name = ids.delivery_name(delivery_id)
    delivery = await call.services.history.delivery(call.environment_id, name)
    return Answer(delivery, awaits=lambda pool: wait_until_acknowledged(pool, delivery_id))


def _filters(query: DeliveryQuery) -> DeliveryFilters:
    return DeliveryFilters(
        status=query.status, event=query.event, since=query.since, until=query.until
    )


ONE = "/api/deliveries/{delivery_id}"

ROUTES = (
    Route(
        method="GET",
        path="/api/webhooks/{webhook_id}/deliveries",
        name="list_webhook_deliveries",
        summary="The deliveries of a webhook, newest first",
        scope="read",
        handle=of_webhook,
        shape=SHAPE,
        answers=DeliveryItem,
        query=DeliveryQuery,
        many=True,
        paged=True,
    ),
    Route(
        method="GET",
        path="/api/deliveries",
        name="list_deliveries",
        summary="The deliveries of all webhooks, newest first",
        scope="read",
        handle=of_all,
        shape=SHAPE,
        answers=DeliveryItem,
        query=DeliveryQuery,
        many=True,
        paged=True,
    ),
    Route(
        method="GET",
        path=ONE,
        name="get_delivery",
        summary="One delivery, with every attempt",
        scope="read",
        handle=get,
        shape=SHAPE,
        answers=Delivery,
    ),
    Route(
        method="GET",
        path=f"{ONE}/attempts",
        name="list_attempts",
        summary="The attempts of a delivery, oldest first",
        scope="read",
        handle=attempts,
        shape=Shape("attempt", id="number"),
        answers=Attempt,
        many=True,
    ),
    Route(
        method="POST",
        path=f"{ONE}/retry",
        name="retry_delivery",
        summary="Send it again, or now if it is pending",
        scope="write",
        handle=retry,
        shape=SHAPE,
        answers=Delivery,
        form=Empty,
        changes=True,
    ),
    Route(
        method="POST",
        path=f"{ONE}/cancel",
        name="cancel_delivery",
        summary="Send it no more",
        scope="write",
        handle=cancel,
        shape=SHAPE,
        answers=Delivery,
        form=Empty,
        changes=True,
    ),
)
