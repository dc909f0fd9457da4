"""The credentials of a webhook: how its requests are authenticated, and its certificates.

The page shows no secret, not even one that was just typed. So each form replaces its whole part.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ChangedError, InvalidError
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.dashboard.views import webhook
from dispatcher.dashboard.views.webhook_settings import CHANGED_SINCE, revision_of
from dispatcher.services.inputs.base import problems
from dispatcher.services.inputs.webhook_inputs import WebhookChanges
from dispatcher.services.propagation import wait_until_applied
from dispatcher.services.webhooks.webhook_resource import Webhook

FIELDS = {
    "basic": ("username", "password"),
    "oauth2": ("token_url", "client_id", "client_secret", "scope", "audience", "auth_method"),
}
"""The fields of the form for each type of authentication."""
CERTIFICATES = ("certificate", "key", "ca")


async def show(request: DashboardRequest) -> web.Response:
    """Show the credentials of a webhook, without their secrets."""
    view = await webhook.load(request)
    return _form(request, view, _typed(view.webhook))


async def change(request: DashboardRequest) -> web.Response:
    """Replace or remove the authentication or the certificates, and wait until daemons use them.

    Nothing is changed if the webhook has changed since the page was loaded. Raise ForbiddenError
    if the token lacks the scope.
    """
    request.demand("write")
    view = await webhook.load(request)
    typed = await request.fields()
    try:
        form = WebhookChanges.model_validate(_given(typed))
        checked = await request.settings.certificate_checks.check(request.pool.key, form.tls)
        async with request.changing() as services:
            await services.webhooks.update(
                view.webhook.id,
                request.environment_id,
                form,
                revision=revision_of(typed.get("revision", "")),
                checked=checked,
            )
            version = await services.webhooks.version(view.webhook.id)
    except (ValidationError, InvalidError) as error:
        return await _refused(request, view, _form_errors(error), 422)
    except ChangedError:
        return await _refused(request, view, {"form": CHANGED_SINCE}, 409)
    await wait_until_applied(request.pool, version)
    page = request.url("webhook_credentials", webhook_id=view.webhook.id)
    return see_other(page, "changed")


async def _refused(
    request: DashboardRequest, view: webhook.WebhookView, errors: Mapping[str, str], status: int
) -> web.Response:
    """Return the page with the fields of a refused form, besides what is stored."""
    typed, wrong = await request.refused_form(errors)
    return _form(request, view, {**_typed(view.webhook), **typed}, wrong, status)


def _form(
    request: DashboardRequest,
    view: webhook.WebhookView,
    typed: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    status: int = 200,
) -> web.Response:
    return webhook.page(
        request,
        "webhook_credentials.html",
        view,
        status=status,
        tab="credentials",
        typed=typed,
        field_errors=wrong or {},
    )


def _typed(of: Webhook) -> dict[str, str]:
    """Return what is stored and no secret, as the fields of the form."""
    known = of.authentication
    shown = {
        name: getattr(known, name, None) or "" for name in FIELDS["oauth2"] if known is not None
    }
    return {"type": known.type if known else "none", "revision": str(of.revision), **shown}


def _given(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the part of the webhook that the form replaces, as the input model expects it."""
    if typed.get("part") == "tls":
        if "remove" in typed:
            return {"tls": None}
        return {"tls": {name: _pem(typed.get(name, "")) for name in CERTIFICATES}}
    chosen = typed.get("type", "")
    if chosen == "none":
        return {"authentication": None}
    fields = {name: typed.get(name, "") for name in FIELDS.get(chosen, ())}
    filled = {name: text for name, text in fields.items() if text}
    if chosen == "basic" and filled:
        filled = fields  # some receivers want only one of the two
    return {"authentication": {"type": chosen, **filled}}


def _pem(text: str) -> str | None:
    """Return the text with the line ends that it had before the browser sent it."""
    return text.replace("\r\n", "\n").strip() + "\n" if text.strip() else None


def _form_errors(error: InvalidError | ValidationError) -> dict[str, str]:
    """Return the problems by field of this form.

    The place of a problem is the part, such as `tls`, and then the field.
    """
    invalid = problems(error) if isinstance(error, ValidationError) else error
    errors: dict[str, str] = {}
    for problem in invalid.problems:
        errors.setdefault(str((problem.place or ("form",))[:2][-1]), problem.reason)
    return errors


PAGES = (
    ("GET", "webhook_credentials", show),
    ("POST", "webhook_credentials", change),
)
