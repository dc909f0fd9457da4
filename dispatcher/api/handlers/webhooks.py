"""Handlers of `/api/webhooks`."""

from uuid import UUID

from dispatcher.api.pipeline import uuid
from dispatcher.api.routes import Route
from dispatcher.api.types import Answer, Call, Shape
from dispatcher.services.history_resources import Delivery
from dispatcher.services.inputs.webhooks import (
    Empty,
    NewWebhook,
    Rotation,
    WebhookChanges,
    WebhookQuery,
)
from dispatcher.services.propagation import wait_until_applied
from dispatcher.services.webhook_resource import Webhook
from dispatcher.services.webhooks import TEST_TYPE, Webhooks

SHAPE = Shape("webhook")


def _webhooks(call: Call) -> Webhooks:
    return call.services.webhooks


def _id(call: Call) -> UUID:
    return uuid(call.path["webhook_id"])


async def create(call: Call) -> Answer:
    """Create a webhook. The response contains its secret."""
    made = await _webhooks(call).create(call.form, environment_id=call.environment_id)
    return Answer(made, 201, revision=made.revision, location=f"/api/webhooks/{made.id}")


async def list_(call: Call) -> Answer:
    """Return the webhooks, oldest first: a page of them, or all if they are few."""
    after = None if call.position is None else UUID(call.position)
    found, more = await _webhooks(call).page(call.environment_id, after=after, limit=call.limit)
    return Answer(found, paged=call.is_paged, next=None if more is None else str(more))


async def get(call: Call) -> Answer:
    """Return a webhook."""
    found = await _webhooks(call).get(_id(call), call.environment_id)
    return Answer(found, revision=found.revision)


async def update(call: Call) -> Answer:
    """Change a webhook, with If-Match only if its revision is still the same."""
    changed = await _webhooks(call).update(
        _id(call), call.environment_id, call.form, revision=call.revision
    )
    return Answer(changed, revision=changed.revision)


async def delete(call: Call) -> Answer:
    """Delete a webhook, with If-Match only if its revision is still the same."""
    await _webhooks(call).delete(_id(call), call.environment_id, revision=call.revision)
    return Answer(status=204)


async def rotate_secret(call: Call) -> Answer:
    """Replace the secret of a webhook, and wait briefly for every daemon to sign with it.

    The response contains the new secret.
    """
    rotated, version = await _webhooks(call).rotate_secret(
        _id(call), call.environment_id, overlap_seconds=call.form.overlap_seconds
    )
    return Answer(
        rotated,
        revision=rotated.revision,
        awaits=lambda pool: wait_until_applied(pool, version),
    )


async def test(call: Call) -> Answer:
    """Send a test event to a webhook. Return its delivery."""
    sample = await call.services.event_types.sample(call.environment_id, TEST_TYPE)
    name = await _webhooks(call).test(_id(call), call.environment_id, sample=sample)
    delivery = await call.services.history.delivery(call.environment_id, name)
    return Answer(delivery, 202, location=f"/api/deliveries/{name}")


ONE = "/api/webhooks/{webhook_id}"

ROUTES = (
    Route(
        method="POST",
        path="/api/webhooks",
        name="create_webhook",
        summary="Create a webhook; its signing secret is in the answer, this once",
        scope="write",
        handle=create,
        shape=SHAPE,
        answers=Webhook,
        form=NewWebhook,
        status=201,
        changes=True,
    ),
    Route(
        method="GET",
        path="/api/webhooks",
        name="list_webhooks",
        summary="The webhooks, oldest first; a page of them if a cursor or limit is given, or they are many",
        scope="read",
        handle=list_,
        shape=SHAPE,
        answers=Webhook,
        query=WebhookQuery,
        many=True,
    ),
    Route(
        method="GET",
        path=ONE,
        name="get_webhook",
        summary="One webhook",
        scope="read",
        handle=get,
        shape=SHAPE,
        answers=Webhook,
    ),
    Route(
        method="PATCH",
        more_methods=("PUT",),
        path=ONE,
        name="update_webhook",
        summary="Change what is given; with If-Match only if nobody else did meanwhile",
        scope="write",
        handle=update,
        shape=SHAPE,
        answers=Webhook,
        form=WebhookChanges,
        changes=True,
        versioned=True,
    ),
    Route(
        method="DELETE",
        path=ONE,
        name="delete_webhook",
        summary="Delete a webhook; what is pending for it is cancelled",
        scope="write",
        handle=delete,
        shape=SHAPE,
        answers=None,
        status=204,
        changes=True,
        versioned=True,
    ),
    Route(
        method="PATCH",
        more_methods=("POST",),
        path=f"{ONE}/rotate_secret",
        also=(f"{ONE}/rotate-secret",),
        name="rotate_webhook_secret",
        summary="A new signing secret, in the answer, this once",
        scope="write",
        handle=rotate_secret,
        shape=SHAPE,
        answers=Webhook,
        form=Rotation,
        changes=True,
    ),
    Route(
        method="POST",
        path=f"{ONE}/test",
        also=(f"{ONE}/ping",),
        name="test_webhook",
        summary="Send it a webhook.test event",
        scope="write",
        handle=test,
        shape=Shape("delivery"),
        answers=Delivery,
        form=Empty,
        status=202,
        changes=True,
    ),
)
