"""The settings of a webhook, and a preview of its retry schedule."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from dispatcher.core import retry_schedule
from dispatcher.core.errors import ChangedError, InvalidError
from dispatcher.core.model import RetryPolicy
from dispatcher.dashboard.field_texts import is_same_json, one_line, read_json
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.dashboard.views import webhook
from dispatcher.dashboard.views.webhooks import chosen_events, matching
from dispatcher.services.inputs.base import problems
from dispatcher.services.inputs.webhook_inputs import Schedule, WebhookChanges
from dispatcher.services.webhooks.webhook_resource import Webhook

RETRY = tuple(Schedule.model_fields)
LIMITS = ("rate_limit", "max_in_flight", "timeout")
BLANK_HEADERS = 2
"""Empty rows in the form, in which to add headers."""
NO_REVISION = -1
CHANGED_SINCE = "Another user has changed the webhook since you opened this page. Reload the page."


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a retry schedule.

    `delay` is in seconds after the attempt before it, and `after` in seconds after the first.
    """

    number: int
    delay: float
    after: float


async def show(request: DashboardRequest) -> web.Response:
    """Show the settings of a webhook."""
    view = await webhook.load(request)
    return await _form(request, view, _typed(view.webhook), view.webhook.events)


async def change(request: DashboardRequest) -> web.Response:
    """Change the settings of a webhook, unless they have changed since the page was loaded."""
    view = await webhook.load(request)
    typed = await request.fields()
    events = await chosen_events(request)
    try:
        fields = {**_given(typed), "events": events, **await _lists(request)}
        form = WebhookChanges.model_validate(
            _different(view.webhook, fields, request.settings.schemes)
        )
        await _change(request, form, typed.get("revision", ""))
    except (ValidationError, InvalidError) as error:
        typed, wrong = await request.refused_form(_form_errors(error))
        return await _form(request, view, typed, events, wrong, status=422)
    except ChangedError:
        typed, wrong = await request.refused_form({"form": CHANGED_SINCE})
        return await _form(request, view, typed, events, wrong, status=409)
    page = request.url("webhook_settings", webhook_id=view.webhook.id)
    return see_other(page, "changed")


async def times(request: DashboardRequest) -> web.Response:
    """Show the attempts of a retry schedule while its fields are edited."""
    typed = {name: request.http.query.get(f"retry_{name}", "") for name in RETRY}
    try:
        form = Schedule.model_validate({n: _number(text) for n, text in typed.items()})
    except ValidationError:
        return request.page("webhook_tries.html", tries=None)
    return request.page("webhook_tries.html", tries=tries(request.settings.retry, form))


def tries(configured: RetryPolicy, form: Schedule) -> tuple[Try, ...]:
    """Return every attempt of a schedule, without jitter.

    Fields that `form` does not set have the configured values.
    """
    changes = {name: value for name, value in form.given().items() if value is not None}
    policy = replace(configured, **changes)
    made, after = [Try(1, 0.0, 0.0)], 0.0
    for retry in range(1, policy.retries + 1):
        delay = retry_schedule.next_delay(policy, retry, 0.5)
        after += delay
        made.append(Try(retry + 1, delay, after))
    return tuple(made)


async def _change(request: DashboardRequest, form: WebhookChanges, revision: str) -> None:
    """Write the changes, unless there are none. Raise ChangedError if the revision is outdated."""
    request.demand("write")
    if not form.given():
        return
    async with request.changing() as services:
        await services.webhooks.update(
            webhook.named(request),
            request.environment_id,
            form,
            revision=revision_of(revision),
        )


def revision_of(text: str) -> int | None:
    """Return the revision that the form was loaded with, None if the field is not a number.

    A number that is too long is no revision. Otherwise Python would refuse to convert it.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text) if len(text) < 20 else NO_REVISION


async def _form(
    request: DashboardRequest,
    view: webhook.WebhookView,
    typed: Mapping[str, str],
    events: Sequence[str],
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    types = await request.services.event_types.list(request.environment_id)
    own = orjson.loads(view.webhook.retry or "{}")
    return webhook.page(
        request,
        "webhook_settings.html",
        view,
        status=status,
        tab="settings",
        typed=typed,
        events=events,
        types=types,
        matches=matching(events, [t.name for t in types]),
        schemes=request.settings.schemes,
        chosen=await request.several("schemes") if wrong else view.webhook.signature_schemes or (),
        blank_headers=BLANK_HEADERS,
        configured=asdict(request.settings.retry),
        delivery=request.settings.delivery,
        tries=tries(request.settings.retry, Schedule.model_validate(own)),
        field_errors=wrong or {},
    )


def _typed(of: Webhook) -> dict[str, str]:
    """Return the settings as the fields of the form. An empty field means the configured value."""
    retry = orjson.loads(of.retry or "{}")
    return {
        "name": of.name,
        "url": of.url,
        "description": of.description,
        "metadata": _metadata(of.metadata),
        "revision": str(of.revision),
        **{name: _plain(getattr(of, name)) for name in LIMITS},
        **{f"retry_{name}": _plain(retry.get(name)) for name in RETRY},
    }


def _plain(value: float | None) -> str:
    """Return all digits of a number. Otherwise the form would change the one that it only shows."""
    return "" if value is None else repr(value).removesuffix(".0")


def _given(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the input model expects them, with the text of `metadata`."""
    retry = {name: _number(typed.get(f"retry_{name}", "")) for name in RETRY}
    schedule = {name: value for name, value in retry.items() if value is not None}
    return {
        **{name: typed.get(name, "").strip() for name in ("name", "url", "description")},
        **{name: _number(typed.get(name, "")) for name in LIMITS},
        "retry": schedule or None,
        "metadata": typed.get("metadata", ""),
    }


async def _lists(request: DashboardRequest) -> dict[str, Any]:
    """Return the headers and signature schemes, which come in repeated fields.

    The form never shows header values. A header that is kept with an empty value is unchanged, and
    one with a new value gets it, even if it is marked to be removed.
    """
    names, values = await request.several("header_name"), await request.several("header_value")
    kept = await request.several("header_kept")
    headers: dict[str, str | None] = dict.fromkeys(await request.several("header_gone"))
    for name, value in zip(names, values, strict=False):
        if name.strip() and (value.strip() or name not in kept):
            headers[name.strip()] = value.strip()
    return {
        "headers": headers or None,
        "signature_schemes": await request.several("schemes") or None,
    }


def _different(of: Webhook, fields: Mapping[str, Any], schemes: Sequence[str]) -> dict[str, Any]:
    """Return only the fields that differ from what the page shows, which has these `schemes`.

    Otherwise the audit log would list unchanged ones. Raise InvalidError if `metadata` differs and
    is not JSON.
    """
    shown = {
        **{name: one_line(getattr(of, name)) for name in ("name", "url", "description")},
        **{name: getattr(of, name) for name in LIMITS},
        "events": sorted(of.events),
        "headers": None,
        "retry": orjson.loads(of.retry) if of.retry else None,
        "signature_schemes": sorted(s for s in of.signature_schemes or () if s in schemes) or None,
    }
    different = {
        name: value
        for name, value in fields.items()
        if name in shown and (sorted(value) if isinstance(value, list) else value) != shown[name]
    }
    if not is_same_json(_metadata(fields["metadata"]), _metadata(of.metadata)):
        different["metadata"] = read_json("metadata", fields["metadata"].strip() or "{}")
    return different


def _number(text: str) -> int | float | str | None:
    """Return a number, None if the field is empty.

    Return other text as it is, so that the input model reports it.
    """
    text = text.strip()
    if not text:
        return None
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return float(text)
    return text


def _metadata(text: str) -> str:
    """Return the text of the metadata, which is empty if there is none."""
    return "" if is_same_json(text, "{}") else text


def _form_errors(error: InvalidError | ValidationError) -> dict[str, str]:
    """Return the problems by field of this form, where each value of `retry` has its own field."""
    invalid = problems(error) if isinstance(error, ValidationError) else error
    errors: dict[str, str] = {}
    for problem in invalid.problems:
        path = problem.place[:2] if problem.place[:1] == ("retry",) else problem.place[:1]
        errors.setdefault("_".join(str(part) for part in path) or "form", problem.reason)
    return errors


PAGES = (
    ("GET", "webhook_settings", show),
    ("POST", "webhook_settings", change),
    ("GET", "webhook_tries", times),
)
