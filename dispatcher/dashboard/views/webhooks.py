"""The list of webhooks, and making one."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from dispatcher.dashboard.visit import Visit, mistakes
from dispatcher.forms.webhooks import NewWebhook
from dispatcher.refusals import Invalid
from dispatcher.webhooks import Webhook


async def list_(visit: Visit) -> web.Response:
    webhooks = await visit.office.webhooks(visit.pool, visit.actor).list(visit.environment_id)
    return visit.page("webhooks.html", webhooks=webhooks)


async def new(visit: Visit) -> web.Response:
    visit.demand("write")
    return await _form(visit, {})


async def create(visit: Visit) -> web.Response:
    """The page with the secret is the answer itself: it is nowhere else, and shown this once."""
    typed = await visit.fields()
    events = await _events(visit)
    try:
        form = NewWebhook.model_validate({**_given(typed), "events": events})
        async with visit.changing() as session:
            webhook = await visit.office.webhooks(session, visit.actor).create(
                form, environment_id=visit.environment_id
            )
    except (ValidationError, Invalid) as error:
        return await _form(visit, typed, events, mistakes(error), status=422)
    return secret(visit, webhook, created=True)


def secret(visit: Visit, webhook: Webhook, *, created: bool) -> web.Response:
    """The secret, this once, and what to do with it."""
    return visit.page("webhook_secret.html", webhook=webhook, created=created)


async def _form(
    visit: Visit,
    typed: Mapping[str, str],
    events: list[str] | None = None,
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    types = await visit.office.catalogue(visit.pool, visit.actor).list(visit.environment_id)
    return visit.page(
        "webhook_new.html",
        status=status,
        typed=typed,
        events=events or [],
        types=types,
        mistakes=wrong or {},
    )


async def _events(visit: Visit) -> list[str]:
    """Those that were ticked, and those that were typed."""
    typed = (await visit.fields()).get("patterns", "").replace(",", " ").split()
    return list(dict.fromkeys([*await visit.several("events"), *typed]))


def _given(typed: Mapping[str, str]) -> dict[str, Any]:
    """Fields that were filled in; an empty one was not."""
    texts = {
        n: typed[n].strip() for n in ("url", "name", "description") if typed.get(n, "").strip()
    }
    return {"url": "", **texts}


PAGES = (
    ("GET", "/webhooks", list_),
    ("GET", "/webhooks/new", new),
    ("POST", "/webhooks/new", create),
)
