"""One webhook: the head of all its tabs, and the actions on the whole webhook."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from aiohttp import web

from dispatcher.core.errors import InvalidError, NotFoundError
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.dashboard.views import webhooks
from dispatcher.services.inputs.webhook_inputs import Rotation, WebhookChanges
from dispatcher.services.overview import WebhookHealth
from dispatcher.services.propagation import wait_until_applied
from dispatcher.services.webhooks.webhook_resource import Webhook
from dispatcher.services.webhooks.webhooks import TEST_TYPE

OVERLAPS = {"none": 0, "hour": 3600, "day": 86_400, "week": 604_800}
"""The choices, in seconds, of how long the old secret still signs beside the new one."""


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A webhook with its health, which is None only if the webhook has gone since it was read."""

    webhook: Webhook
    health: WebhookHealth | None


def named(request: DashboardRequest) -> UUID:
    """Return the webhook id in the address. Raise NotFoundError if it is not an id."""
    try:
        return UUID(request.http.match_info["webhook_id"])
    except ValueError:
        raise NotFoundError("There is no such webhook.") from None


async def load(request: DashboardRequest) -> WebhookView:
    """Return the webhook in the address with its health. Raise NotFoundError if there is none."""
    webhook_id = named(request)
    webhook = await request.services.webhooks.get(webhook_id, request.environment_id)
    health = await request.services.overview.webhooks(request.environment_id, [webhook_id])
    return WebhookView(webhook, health.get(webhook_id))


def page(
    request: DashboardRequest,
    template: str,
    view: WebhookView,
    *,
    status: int = 200,
    **context: object,
) -> web.Response:
    """Return a page of a webhook, with the head that all its tabs have."""
    return request.page(
        template,
        status=status,
        secret=False,
        webhook=view.webhook,
        health=view.health,
        now=datetime.now(UTC),
        **context,
    )


async def test(request: DashboardRequest) -> web.Response:
    """Send a test event, and redirect to its delivery, whose page shows the attempts."""
    async with request.changing() as services:
        sample = await services.event_types.sample(request.environment_id, TEST_TYPE)
        name = await services.webhooks.test(named(request), request.environment_id, sample=sample)
    return see_other(request.url("delivery", delivery_id=name), "tested")


async def rotate(request: DashboardRequest) -> web.Response:
    """Replace the secret. The response is the only page that ever shows the new one.

    It is sent once every daemon signs with the new secret, or when waiting for that times out.
    """
    chosen = (await request.fields()).get("overlap", "day")
    if chosen not in OVERLAPS:
        raise InvalidError.field("overlap", f"must be one of {', '.join(OVERLAPS)}")
    form = Rotation(overlap_seconds=OVERLAPS[chosen])
    async with request.changing() as services:
        rotated, version = await services.webhooks.rotate_secret(
            named(request), request.environment_id, overlap_seconds=form.overlap_seconds
        )
        # Render before the commit. Otherwise an error after it would lose the new secret.
        answer = webhooks.secret(request, rotated, created=False)
    await wait_until_applied(request.pool, version)
    return answer


async def enable(request: DashboardRequest) -> web.Response:
    """Enable the webhook."""
    return await _switch(request, active=True)


async def disable(request: DashboardRequest) -> web.Response:
    """Disable the webhook."""
    return await _switch(request, active=False)


async def delete(request: DashboardRequest) -> web.Response:
    """Delete the webhook."""
    async with request.changing() as services:
        await services.webhooks.delete(named(request), request.environment_id)
    return see_other(request.url("webhooks"), "deleted")


async def _switch(request: DashboardRequest, *, active: bool) -> web.Response:
    async with request.changing() as services:
        changed = await services.webhooks.update(
            named(request), request.environment_id, WebhookChanges(active=active)
        )
    page = request.url("webhook", webhook_id=changed.id)
    return see_other(page, "enabled" if active else "disabled")


PAGES = (
    ("POST", "webhook_test", test),
    ("POST", "webhook_rotate", rotate),
    ("POST", "webhook_enable", enable),
    ("POST", "webhook_disable", disable),
    ("POST", "webhook_delete", delete),
)
