"""The list of webhooks, and the form to create one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, get_args

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core import event_patterns
from dispatcher.core.errors import InvalidError
from dispatcher.core.pagination import SEARCHED_LIMIT
from dispatcher.dashboard.request import PAGE_SIZE, DashboardRequest, field_errors
from dispatcher.services.inputs.webhook_inputs import NewWebhook, WebhookState
from dispatcher.services.webhooks.webhook_list import PAGES_LIMIT, WebhookOrder
from dispatcher.services.webhooks.webhook_resource import Webhook

FILTERS: Final = ("q", "state", "sort", "page")
SEARCH_LIMIT_CHARACTERS: Final = 200
"""Most characters that are searched for."""
_STATES: Final[Mapping[str, WebhookState]] = {state: state for state in get_args(WebhookState)}
_ORDERS: Final[Mapping[str, WebhookOrder]] = {order: order for order in get_args(WebhookOrder)}
NAMED_LIMIT = 40
"""How many matching types are listed by name. The page only counts the others."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The types of the catalogue that the patterns match.

    - `wrong` are the messages for invalid patterns.
    - `chosen` are the first matching types, `more` is the number of others, and `known` the size of
      the catalogue.
    - `reserved` are the daemon's own types among the patterns. No general wildcard matches them.
    """

    wrong: tuple[str, ...]
    chosen: tuple[str, ...]
    more: int
    known: int
    reserved: tuple[str, ...]
    others: bool
    """True if types that are not in the catalogue may match as well."""


async def list_(request: DashboardRequest) -> web.Response:
    """Show a page of the webhooks that match the filter, with their health."""
    typed = _filters(request.http.query)
    number = _page_number(typed["page"])
    page = await request.services.webhook_list.page(
        request.environment_id,
        text=typed["q"],
        state=_STATES.get(typed["state"]),
        order=_ORDERS.get(typed["sort"], "oldest"),
        page=number,
        limit=PAGE_SIZE,
    )
    health = await request.services.overview.webhooks(
        request.environment_id, [webhook.id for webhook in page.items]
    )
    return request.page(
        "webhooks.html",
        webhooks=page.items,
        states=page.states,
        health=health,
        now=datetime.now(UTC),
        typed=typed,
        filtered=bool(typed["q"] or typed["state"]),
        number=number,
        has_more=page.has_more,
        looked_at=SEARCHED_LIMIT,
    )


async def new(request: DashboardRequest) -> web.Response:
    """Show the form to create a webhook."""
    request.demand("write")
    return await _form(request, {})


async def create(request: DashboardRequest) -> web.Response:
    """Create a webhook. The response is the only page that ever shows its secret."""
    typed = await request.fields()
    events = await chosen_events(request)
    try:
        form = NewWebhook.model_validate({**_given(typed), "events": events})
        async with request.changing() as services:
            webhook = await services.webhooks.create(form, environment_id=request.environment_id)
            return secret(request, webhook, created=True)
    except (ValidationError, InvalidError) as error:
        typed, wrong = await request.refused_form(field_errors(error))
        return await _form(request, typed, events, wrong, status=422)


async def matches(request: DashboardRequest) -> web.Response:
    """Show the types that the chosen events match, while the form is edited."""
    query = request.http.query
    events = [*query.getall("events", []), *split(query.get("patterns", ""))]
    types = await request.services.event_types.list(request.environment_id)
    return request.page(
        "webhook_matches.html", events=events, matches=matching(events, [t.name for t in types])
    )


def secret(request: DashboardRequest, webhook: Webhook, *, created: bool) -> web.Response:
    """Return the page that shows the secret once, and how to use it."""
    schemes = webhook.signature_schemes or request.settings.schemes
    return request.page(
        "webhook_secret.html",
        secret=True,
        webhook=webhook,
        created=created,
        standard="standard" in schemes,
        schemes=schemes,
    )


def matching(events: Iterable[str], types: Sequence[str]) -> Matches:
    """Return the types that the patterns `events` match. `types` are those of the catalogue."""
    wrong, good = [], []
    for event in dict.fromkeys(events):
        try:
            good.append(event_patterns.parse_pattern(event))
        except ValueError as error:
            wrong.append(str(error))
    chosen = [t for t in types if any(event_patterns.matches(event, t) for event in good)]
    return Matches(
        wrong=tuple(wrong),
        chosen=tuple(chosen[:NAMED_LIMIT]),
        more=max(0, len(chosen) - NAMED_LIMIT),
        known=len(types),
        reserved=tuple(e for e in good if event_patterns.is_reserved(e) and not e.endswith(".*")),
        others=any(event not in types for event in good),
    )


def split(typed: str) -> list[str]:
    """Return the patterns in a text, separated by commas or spaces."""
    return typed.replace(",", " ").split()


async def chosen_events(request: DashboardRequest) -> list[str]:
    """Return the patterns of the form: the ticked ones, then the typed ones."""
    typed = split((await request.fields()).get("patterns", ""))
    return list(dict.fromkeys([*await request.several("events"), *typed]))


async def _form(
    request: DashboardRequest,
    typed: Mapping[str, str],
    events: Sequence[str] = (),
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    types = await request.services.event_types.list(request.environment_id)
    return request.page(
        "webhook_new.html",
        status=status,
        typed=typed,
        events=events,
        types=types,
        matches=matching(events, [t.name for t in types]),
        field_errors=wrong or {},
    )


def _given(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the text fields that are filled in. `url` is always present."""
    texts = {
        n: typed[n].strip() for n in ("url", "name", "description") if typed.get(n, "").strip()
    }
    return {"url": "", **texts}


def _filters(query: Mapping[str, str]) -> dict[str, str]:
    """Return the filters in a query. An unknown state or order counts as none."""
    filters = {name: query.get(name, "").strip() for name in FILTERS}
    filters["q"] = filters["q"][:SEARCH_LIMIT_CHARACTERS]
    filters["state"] = filters["state"] if filters["state"] in _STATES else ""
    filters["sort"] = filters["sort"] if filters["sort"] in _ORDERS else ""
    return filters


def _page_number(text: str) -> int:
    """Return the number of a page. Anything else counts as the first."""
    is_number = text.isascii() and text.isdigit() and len(text) < 5
    return min(max(int(text), 1), PAGES_LIMIT) if is_number else 1


PAGES = (
    ("GET", "webhooks", list_),
    ("GET", "webhook_new", new),
    ("POST", "webhook_new", create),
    ("GET", "webhook_matches", matches),
)
