"""Handlers of `/api/webhooks`."""

from dataclasses import replace

from dispatcher.api.pages import list_limit, list_result
from dispatcher.api.routes import Routes
from dispatcher.api.types import NO_CONTENT, Call, HandlerResult, Shape
from dispatcher.services.deliveries.history_resources import Delivery
from dispatcher.services.inputs.base import Form
from dispatcher.services.inputs.webhook_inputs import (
    Empty,
    NewWebhook,
    Rotation,
    WebhookChanges,
    WebhookQuery,
)
from dispatcher.services.propagation import wait_until_applied
from dispatcher.services.webhooks.webhook_resource import Webhook
from dispatcher.services.webhooks.webhooks import TEST_TYPE

ONE = "/api/webhooks/{webhook_id}"

routes = Routes(Shape("webhook"))


async def check_certificates(call: Call, form: Form | None) -> Call:
    """Return the call with the result of checking the form's certificates.

    The result holds the error if they are refused, so that a request that is repeated with its
    Idempotency-Key still gets the first response. Raise NotFoundError if there is no such webhook.
    """
    if not isinstance(form, NewWebhook | WebhookChanges) or form.tls is None:
        return call
    if "webhook_id" in call.path:
        await call.services.webhooks.get(call.uuid("webhook_id"), call.environment_id)
    checked = await call.settings.certificate_checks.check(call.pool.key, form.tls)
    return replace(call, checked_tls=checked)


@routes.post(
    "/api/webhooks", scope="write", status=201, transaction=True, prepare=check_certificates
)
async def create_webhook(call: Call, form: NewWebhook) -> HandlerResult[Webhook]:
    """Create a webhook. Only this response contains its signing secret."""
    webhook = await call.services.webhooks.create(
        form, environment_id=call.environment_id, checked=call.checked_tls
    )
    location = f"/api/webhooks/{webhook.id}"
    return HandlerResult(webhook, 201, revision=webhook.revision, location=location)


@routes.get("/api/webhooks", scope="read")
async def list_webhooks(call: Call, query: WebhookQuery) -> HandlerResult[tuple[Webhook, ...]]:
    """List the webhooks, oldest first; a page if a cursor or limit is given, or there are many."""
    after, limit = call.after_id, list_limit(call, query)
    if query.search is None and query.state is None:
        page = await call.services.webhooks.page(call.environment_id, after=after, limit=limit)
    else:
        page = await call.services.webhook_list.find(
            call.environment_id,
            text=query.search or "",
            state=query.state,
            after=after,
            limit=limit,
        )
    return list_result(call, query, page)


@routes.get(ONE, scope="read")
async def get_webhook(call: Call) -> HandlerResult[Webhook]:
    """Return a webhook."""
    webhook = await call.services.webhooks.get(call.uuid("webhook_id"), call.environment_id)
    return HandlerResult(webhook, revision=webhook.revision)


@routes.patch(
    ONE,
    more_methods=("PUT",),
    scope="write",
    transaction=True,
    prepare=check_certificates,
    if_match=True,
)
async def update_webhook(call: Call, form: WebhookChanges) -> HandlerResult[Webhook]:
    """Change the given fields of a webhook; with If-Match, only if it has not changed since.

    If credentials change, the response waits briefly for all daemons to use the new ones.
    """
    webhook = await call.services.webhooks.update(
        call.uuid("webhook_id"),
        call.environment_id,
        form,
        revision=call.revision,
        checked=call.checked_tls,
    )
    if form.model_fields_set.isdisjoint({"authentication", "tls"}):
        return HandlerResult(webhook, revision=webhook.revision)
    version = await call.services.webhooks.version(webhook.id)
    return HandlerResult(
        webhook,
        revision=webhook.revision,
        wait_until_applied=lambda pool: wait_until_applied(pool, version),
    )


@routes.delete(ONE, scope="write", transaction=True, if_match=True)
async def delete_webhook(call: Call) -> HandlerResult[None]:
    """Delete a webhook and cancel its pending deliveries."""
    await call.services.webhooks.delete(
        call.uuid("webhook_id"), call.environment_id, revision=call.revision
    )
    return NO_CONTENT


@routes.patch(
    f"{ONE}/rotate_secret",
    more_methods=("POST",),
    aliases=(f"{ONE}/rotate-secret",),
    scope="write",
    transaction=True,
    waits=True,
)
async def rotate_webhook_secret(call: Call, form: Rotation) -> HandlerResult[Webhook]:
    """Replace the signing secret of a webhook. Only this response contains the new one.

    The response waits briefly for all daemons to sign with the new secret.
    """
    webhook, version = await call.services.webhooks.rotate_secret(
        call.uuid("webhook_id"), call.environment_id, overlap_seconds=form.overlap_seconds
    )
    return HandlerResult(
        webhook,
        revision=webhook.revision,
        wait_until_applied=lambda pool: wait_until_applied(pool, version),
    )


@routes.post(
    f"{ONE}/test",
    aliases=(f"{ONE}/ping",),
    scope="write",
    shape=Shape("delivery"),
    status=202,
    transaction=True,
)
async def test_webhook(call: Call, form: Empty) -> HandlerResult[Delivery]:
    """Send the event `webhook.test` to a webhook and return its delivery."""
    sample = await call.services.event_types.sample(call.environment_id, TEST_TYPE)
    delivery_name = await call.services.webhooks.test(
        call.uuid("webhook_id"), call.environment_id, sample=sample
    )
    delivery = await call.services.history.delivery(call.environment_id, delivery_name)
    return HandlerResult(delivery, 202, location=f"/api/deliveries/{delivery_name}")
