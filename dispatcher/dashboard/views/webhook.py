"""One webhook: the head of all its tabs, and the actions on the whole webhook."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiohttp import web

from dispatcher.core.errors import NotFoundError
from dispatcher.dashboard.request import Visit, see_other
from dispatcher.dashboard.views import webhooks
from dispatcher.services.inputs.webhooks import Rotation, WebhookChanges
from dispatcher.services.overview import WebhookHealth
from dispatcher.services.propagation import confirmed
from dispatcher.services.webhooks import TEST_TYPE, Webhook

OVERLAPS = {"none": 0, "hour": 3600, "day": 86_400, "week": 604_800}
"""The choices, in seconds, of how long the old secret still signs beside the new one."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A webhook with its health, which is None until the first figures after its creation."""

    webhook: Webhook
    health: WebhookHealth | None


def named(visit: Visit) -> UUID:
    """Return the webhook id in the address. Raise NotFoundError if it is not an id."""
    try:
        return UUID(visit.request.match_info["webhook_id"])
    except ValueError:
        raise NotFoundError("There is no such webhook.") from None


async def look(visit: Visit) -> Looked:
    """Return the webhook in the address with its health. Raise NotFoundError if there is none."""
    webhook_id = named(visit)
    webhook = await visit.services.webhooks.get(webhook_id, visit.environment_id)
    health = await visit.services.overview.webhooks(visit.environment_id, [webhook_id])
    return Looked(webhook, health.get(webhook_id))


def page(
    visit: Visit, template: str, looked: Looked, *, status: int = 200, **context: Any
) -> web.Response:
    """Return a page of a webhook, with the head that all its tabs have."""
    return visit.page(
        template,
        status=status,
        webhook=looked.webhook,
        health=looked.health,
        now=datetime.now(UTC),
        **context,
    )


async def test(visit: Visit) -> web.Response:
    """Send a test event, and redirect to its delivery, whose page shows the attempts."""
    async with visit.changing() as services:
        sample = await services.event_types.sample(visit.environment_id, TEST_TYPE)
        name = await services.webhooks.test(named(visit), visit.environment_id, sample=sample)
    return see_other(visit.url("delivery", delivery_id=name), "tested")


async def rotate(visit: Visit) -> web.Response:
    """Replace the secret. The response is the only page that ever shows the new one.

    It is sent once every daemon signs with the new secret, or when waiting for that times out.
    """
    chosen = (await visit.fields()).get("overlap", "day")
    form = Rotation(overlap_seconds=OVERLAPS.get(chosen, 0))
    async with visit.changing() as services:
        rotated, version = await services.webhooks.rotate_secret(
            named(visit), visit.environment_id, overlap_seconds=form.overlap_seconds
        )
        # Render before the commit. Otherwise an error after it would lose the new secret.
        answer = webhooks.secret(visit, rotated, created=False)
    await confirmed(visit.pool, version)
    return answer


async def enable(visit: Visit) -> web.Response:
    """Enable the webhook."""
    return await _switch(visit, active=True)


async def disable(visit: Visit) -> web.Response:
    """Disable the webhook."""
    return await _switch(visit, active=False)


async def delete(visit: Visit) -> web.Response:
    """Delete the webhook."""
    async with visit.changing() as services:
        await services.webhooks.delete(named(visit), visit.environment_id)
    return see_other(visit.url("webhooks"), "deleted")


async def _switch(visit: Visit, *, active: bool) -> web.Response:
    async with visit.changing() as services:
        changed = await services.webhooks.update(
            named(visit), visit.environment_id, WebhookChanges(active=active)
        )
    page = visit.url("webhook", webhook_id=changed.id)
    return see_other(page, "enabled" if active else "disabled")


PAGES = (
    ("POST", "webhook_test", test),
    ("POST", "webhook_rotate", rotate),
    ("POST", "webhook_enable", enable),
    ("POST", "webhook_disable", disable),
    ("POST", "webhook_delete", delete),
)
