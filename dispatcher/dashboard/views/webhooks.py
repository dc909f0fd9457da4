"""The list of webhooks, and the form to create one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core import event_patterns
from dispatcher.core.errors import InvalidError
from dispatcher.dashboard.request import Visit, mistakes
from dispatcher.services.inputs.webhooks import NewWebhook
from dispatcher.services.webhooks import Webhook

SHOWN = 50
NAMED = 40
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


async def list_(visit: Visit) -> web.Response:
    """Show a page of webhooks with their health."""
    after = _after(visit)
    found = await visit.services.webhooks.list(visit.environment_id, after=after, limit=SHOWN + 1)
    shown = found[:SHOWN]
    health = await visit.services.overview.webhooks(
        visit.environment_id, [webhook.id for webhook in shown]
    )
    return visit.page(
        "webhooks.html",
        webhooks=shown,
        health=health,
        now=datetime.now(UTC),
        after=after,
        next=shown[-1].id if len(found) > SHOWN else None,
    )


async def new(visit: Visit) -> web.Response:
    """Show the form to create a webhook."""
    visit.demand("write")
    return await _form(visit, {})


async def create(visit: Visit) -> web.Response:
    """Create a webhook. The response is the only page that ever shows its secret."""
    typed = await visit.fields()
    events = await chosen_events(visit)
    try:
        form = NewWebhook.model_validate({**_given(typed), "events": events})
        async with visit.changing() as services:
            webhook = await services.webhooks.create(form, environment_id=visit.environment_id)
            return secret(visit, webhook, created=True)
    except (ValidationError, InvalidError) as error:
        return await _form(visit, typed, events, mistakes(error), status=422)


async def matches(visit: Visit) -> web.Response:
    """Show the types that the chosen events match, while the form is edited."""
    query = visit.request.query
    events = [*query.getall("events", []), *split(query.get("patterns", ""))]
    types = await visit.services.event_types.list(visit.environment_id)
    return visit.page(
        "webhook_matches.html", events=events, matches=matching(events, [t.name for t in types])
    )


def secret(visit: Visit, webhook: Webhook, *, created: bool) -> web.Response:
    """Return the page that shows the secret once, and how to use it."""
    schemes = webhook.signature_schemes or visit.settings.schemes
    return visit.page(
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
        chosen=tuple(chosen[:NAMED]),
        more=max(0, len(chosen) - NAMED),
        known=len(types),
        reserved=tuple(e for e in good if event_patterns.is_reserved(e) and not e.endswith(".*")),
        others=any(event not in types for event in good),
    )


def split(typed: str) -> list[str]:
    """Return the patterns in a text, separated by commas or spaces."""
    return typed.replace(",", " ").split()


async def chosen_events(visit: Visit) -> list[str]:
    """Return the patterns of the form: the ticked ones, then the typed ones."""
    typed = split((await visit.fields()).get("patterns", ""))
    return list(dict.fromkeys([*await visit.several("events"), *typed]))


async def _form(
    visit: Visit,
    typed: Mapping[str, str],
    events: Sequence[str] = (),
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    types = await visit.services.event_types.list(visit.environment_id)
    return visit.page(
        "webhook_new.html",
        status=status,
        typed=typed,
        events=events,
        types=types,
        matches=matching(events, [t.name for t in types]),
        mistakes=wrong or {},
    )


def _given(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the text fields that are filled in. `url` is always present."""
    texts = {
        n: typed[n].strip() for n in ("url", "name", "description") if typed.get(n, "").strip()
    }
    return {"url": "", **texts}


def _after(visit: Visit) -> UUID | None:
    try:
        return UUID(visit.request.query.get("after", ""))
    except ValueError:
        return None


PAGES = (
    ("GET", "webhooks", list_),
    ("GET", "webhook_new", new),
    ("POST", "webhook_new", create),
    ("GET", "webhook_matches", matches),
)
