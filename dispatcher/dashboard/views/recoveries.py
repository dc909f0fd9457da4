"""The recoveries of a webhook: count failed and missed deliveries, then send them again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ConflictError, InvalidError
from dispatcher.dashboard.request import DashboardRequest, field_errors, see_other
from dispatcher.dashboard.views import webhook
from dispatcher.services.deliveries.replays import Preview
from dispatcher.services.inputs.replay_inputs import NewRecovery

SHOWN_LIMIT = 20
PRESETS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
UNTYPED: Final = {"preset": "hour", "missed": "on"}
"""The form that nothing was typed into."""


async def list_(request: DashboardRequest) -> web.Response:
    """Show the recoveries of a webhook, and the form to start one."""
    return await _page(request, UNTYPED)


async def recover(request: DashboardRequest) -> web.Response:
    """Show how many deliveries a recovery would send, or start it in the second step.

    The form of the second step starts exactly what was counted.
    """
    request.demand("support")
    typed = await request.fields()
    try:
        form = NewRecovery.model_validate(_given(request, typed), strict=False)
        if typed.get("step") != "start":
            counted = await request.services.replays.preview(
                request.environment_id, webhook.named(request), form
            )
            return await _page(request, typed, form=form, preview=counted)
        async with request.changing("support") as services:
            await services.replays.start(request.environment_id, webhook.named(request), form)
    except (ValidationError, InvalidError) as error:
        return await _page(request, typed, field_errors(error), status=422)
    except ConflictError as refused:
        return await _page(request, typed, {"form": str(refused)}, status=409)
    return see_other(_address(request), "recovering")


async def cancel(request: DashboardRequest) -> web.Response:
    """Cancel a recovery."""
    name = request.http.match_info["recovery_id"]
    try:
        async with request.changing("support") as services:
            await services.replays.cancel(request.environment_id, webhook.named(request), name)
    except ConflictError as refused:
        return await _page(request, UNTYPED, {"form": str(refused)}, status=409)
    return see_other(_address(request), "cancelled")


async def _page(
    request: DashboardRequest,
    typed: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    *,
    form: NewRecovery | None = None,
    preview: Preview | None = None,
    status: int = 200,
) -> web.Response:
    view = await webhook.load(request)
    before = request.position()
    recoveries = await request.services.replays.list(
        request.environment_id, view.webhook.id, before=before, limit=SHOWN_LIMIT
    )
    return webhook.page(
        request,
        "webhook_recoveries.html",
        view,
        status=status,
        tab="recoveries",
        recoveries=recoveries,
        first=before is None,
        typed=typed,
        form=form,
        preview=preview,
        field_errors=wrong or {},
    )


def _address(request: DashboardRequest) -> str:
    return request.url("webhook_recoveries", webhook_id=webhook.named(request))


def _given(request: DashboardRequest, typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the input model expects them.

    The first step converts a preset to times. The second step sends those times.
    """
    times = {name: typed.get(name, "").strip() for name in ("since", "until")}
    span = PRESETS.get(typed.get("preset", ""))
    if span is not None:
        since = datetime.now(UTC) - span
        times = {"since": since.isoformat(timespec="seconds"), "until": ""}
    fields: dict[str, Any] = {**request.moments(times), "missed": typed.get("missed") == "on"}
    if rate := typed.get("rate", "").strip():
        fields["rate"] = rate
    return fields


PAGES = (
    ("GET", "webhook_recoveries", list_),
    ("POST", "webhook_recoveries", recover),
    ("POST", "webhook_recovery_cancel", cancel),
)
