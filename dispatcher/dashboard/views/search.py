"""The one box: it finds ids, webhooks, environments, pages, keys, references and payloads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import NotFoundError
from dispatcher.dashboard import addresses, event_outcome
from dispatcher.dashboard.request import DashboardRequest
from dispatcher.dashboard.typed_ids import page_of_id
from dispatcher.dashboard.words import search_sentence
from dispatcher.dashboard.words.search_sentence import SearchSentence
from dispatcher.services.deliveries.history_resources import EventItem
from dispatcher.services.environments import Environment
from dispatcher.services.inputs.history_filters import EventFilters
from dispatcher.services.search import TextHits, is_text_to_search
from dispatcher.services.webhooks.webhook_names import WebhookName
from dispatcher.services.webhooks.webhook_resource import Webhook

SHOWN_LIMIT: Final = 8
"""Webhooks, event types and environments that are listed."""
TEXT_LIMIT_CHARACTERS: Final = 255
SPANS: Final = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "all": None,
}
"""Time ranges of the search in payloads."""
MENU: Final = {
    "overview": "Overview",
    "deliveries": "Deliveries",
    "causes": "Failures by cause",
    "bulk_actions": "Bulk actions",
    "webhooks": "Webhooks",
    "webhook_new": "Create webhook",
    "events": "Events",
    "event_new": "Emit event",
    "event_types": "Event types",
    "quarantine": "Quarantine",
    "tokens": "Tokens",
    "audit": "Audit",
}


@dataclass(slots=True)
class Found:
    """What a search found. `answer` is about the first hit, whose page is `link`.

    `event_types` are types of the catalogue. `unlisted_type` is a type that kept events have and
    the catalogue lacks. `webhook_link` is the page of the webhook of a delivery, None if the
    webhook was deleted.
    """

    text: str
    answer: SearchSentence | None = None
    link: str | None = None
    webhook_link: str | None = None
    webhook: Webhook | None = None
    elsewhere: str | None = None
    elsewhere_name: Mapping[str, str] = field(default_factory=dict)
    events: tuple[EventItem, ...] = ()
    webhooks: tuple[WebhookName, ...] = ()
    event_types: tuple[str, ...] = ()
    unlisted_type: str | None = None
    environments: tuple[Environment, ...] = ()
    pages: list[tuple[str, str]] = field(default_factory=list)
    in_payloads: TextHits | None = None

    @property
    def is_empty(self) -> bool:
        """Return True if there is no hit at all."""
        hits = (self.link, self.events, self.webhooks, self.event_types, self.unlisted_type)
        others = (self.environments, self.pages)
        return not any((*hits, *others)) and not (self.in_payloads and self.in_payloads.events)


async def show(request: DashboardRequest) -> web.Response:
    """Show what the text finds. The first hit is answered in a sentence."""
    text = request.http.query.get("q", "").strip()[:TEXT_LIMIT_CHARACTERS]
    span = request.http.query.get("in", "")
    results = Found(text)
    if text:
        await _find(request, results, span if span in SPANS else None)
    return request.page("search.html", found=results, span=span or "day")


async def _find(request: DashboardRequest, results: Found, span: str | None) -> None:
    await _by_id(request, results)
    if results.link is None and results.elsewhere is None:
        results.events = await request.services.search.named(request.environment_id, results.text)
        results.webhooks = await request.services.webhook_names.search(
            request.environment_id, results.text, limit=SHOWN_LIMIT
        )
        results.event_types = await request.services.event_types.search(
            request.environment_id, results.text, limit=SHOWN_LIMIT
        )
        if request.sees_all:
            results.environments = await request.services.environments.search(
                results.text, limit=SHOWN_LIMIT
            )
        results.pages = _pages(request, results.text)
        if results.is_empty:
            results.unlisted_type = await _unlisted_type(request, results.text)
        if is_text_to_search(results.text) and (span or results.is_empty):
            since = SPANS[span or "day"]
            results.in_payloads = await request.services.search.with_text(
                request.environment_id,
                results.text,
                since=None if since is None else datetime.now(UTC) - since,
                before=request.position(),
            )
        await _answer_first(request, results)


async def _unlisted_type(request: DashboardRequest, text: str) -> str | None:
    """Return the text if it is the type of a kept event that is not in the catalogue."""
    if "." not in text:
        return None
    try:
        filters = EventFilters(type=text)
    except ValidationError:
        return None
    page = await request.services.history.events(request.environment_id, filters, limit=1)
    return text if page.items else None


async def _by_id(request: DashboardRequest, results: Found) -> None:
    """Find the item with this id, also in another environment."""
    page = page_of_id(results.text)
    if page is None:
        return
    environment_id = await request.services.history.environment_of(results.text)
    if environment_id is None or (
        environment_id != request.environment_id and not request.sees_all
    ):
        return
    name, part = page
    results.link = addresses.address(environment_id, name, None, **{part: results.text})
    if environment_id != request.environment_id:
        results.elsewhere = environment_id
        results.elsewhere_name = await request.services.environments.names([environment_id])
        return
    try:
        await _answer(request, results, name, results.text)
    except NotFoundError:
        results.link = None  # deleted


async def _answer(request: DashboardRequest, results: Found, kind: str, id_: str) -> None:
    if kind == "event":
        await _answer_event(request, results, id_)
    elif kind == "delivery":
        delivery = await request.services.history.delivery(request.environment_id, id_)
        names = await request.services.webhook_names.of(
            request.environment_id, [delivery.webhook_id]
        )
        name = names[delivery.webhook_id].name if names else "a webhook"
        results.answer = search_sentence.of_delivery(delivery, name, datetime.now(UTC))
        _link_webhook(request, results, names)
    else:
        await _answer_webhook(request, results, id_)


async def _answer_event(request: DashboardRequest, results: Found, id_: str) -> None:
    event = await request.services.history.event(request.environment_id, id_)
    outcome = await event_outcome.read(request, event)
    worst = search_sentence.worst(event.deliveries, outcome)
    shown = None
    if worst is not None:
        shown = await request.services.history.delivery(request.environment_id, worst)
    names = await request.services.webhook_names.of(
        request.environment_id, () if shown is None else (shown.webhook_id,)
    )
    spoken = {key: known.name for key, known in names.items()}
    results.answer = search_sentence.of_event(event, outcome, shown, spoken, datetime.now(UTC))
    results.link = request.url("event", event_id=id_)
    _link_webhook(request, results, names)


def _link_webhook(
    request: DashboardRequest, results: Found, names: Mapping[UUID, WebhookName]
) -> None:
    """Link the webhook of the delivery that the answer is about, unless it was deleted."""
    webhook_id = None if results.answer is None else results.answer.webhook_id
    if webhook_id is not None and webhook_id in names and not names[webhook_id].deleted:
        results.webhook_link = request.url("webhook", webhook_id=webhook_id)


async def _answer_webhook(request: DashboardRequest, results: Found, id_: object) -> None:
    webhook_id = UUID(str(id_))
    results.webhook = await request.services.webhooks.get(webhook_id, request.environment_id)
    health = await request.services.overview.webhooks(request.environment_id, [webhook_id])
    results.answer = search_sentence.of_webhook(
        results.webhook, health.get(webhook_id), datetime.now(UTC)
    )
    results.link = request.url("webhook", webhook_id=webhook_id)


async def _answer_first(request: DashboardRequest, results: Found) -> None:
    """Answer the first hit: an event by its name, a webhook, or an event by its payload."""
    if results.events:
        await _answer_event(request, results, results.events[0].id)
    elif results.webhooks:
        await _answer_webhook(request, results, results.webhooks[0].id)
    elif (
        results.in_payloads is not None and results.in_payloads.events and not results.environments
    ):
        await _answer_event(request, results, results.in_payloads.events[0].id)


def _pages(request: DashboardRequest, text: str) -> list[tuple[str, str]]:
    """Return the pages whose title contains the text, each with its address."""
    hidden = set()
    if not request.may("admin"):
        hidden |= {"tokens"}
    if not request.may("support"):
        hidden |= {"audit"}
    if not request.may("write"):
        hidden |= {"webhook_new", "event_new"}
    return [
        (title, request.url(name))
        for name, title in MENU.items()
        if text.lower() in title.lower() and name not in hidden
    ]


PAGES = (("GET", "search", show),)
