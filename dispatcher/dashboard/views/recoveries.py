"""The recoveries of a webhook: count failed and missed deliveries, then send them again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ConflictError, InvalidError
from dispatcher.dashboard.request import Visit, mistakes, see_other
from dispatcher.dashboard.views import webhook
from dispatcher.services.inputs.recoveries import NewRecovery
from dispatcher.services.replays import Preview

SHOWN = 20
PRESETS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}


async def list_(visit: Visit) -> web.Response:
    """Show the recoveries of a webhook, and the form to start one."""
    return await _page(visit, {"preset": "hour", "missed": "on"})


async def recover(visit: Visit) -> web.Response:
    """Show how many deliveries a recovery would send, or start it in the second step.

    The form of the second step starts exactly what was counted.
    """
    visit.demand("write")
    typed = await visit.fields()
    try:
        form = NewRecovery.model_validate(_given(visit, typed), strict=False)
        if typed.get("step") != "start":
            counted = await visit.services.replays.preview(
                visit.environment_id, webhook.named(visit), form
            )
            return await _page(visit, typed, form=form, preview=counted)
        async with visit.changing() as services:
            await services.replays.start(visit.environment_id, webhook.named(visit), form)
    except (ValidationError, InvalidError) as error:
        return await _page(visit, typed, mistakes(error), status=422)
    except ConflictError as refused:
        return await _page(visit, typed, {"form": str(refused)}, status=409)
    return see_other(_address(visit), "recovering")


async def cancel(visit: Visit) -> web.Response:
    """Cancel a recovery."""
    name = visit.request.match_info["recovery_id"]
    try:
        async with visit.changing() as services:
            await services.replays.cancel(visit.environment_id, webhook.named(visit), name)
    except ConflictError as refused:
        return await _page(visit, {"preset": "hour"}, {"form": str(refused)}, status=409)
    return see_other(_address(visit), "cancelled")


async def _page(
    visit: Visit,
    typed: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    *,
    form: NewRecovery | None = None,
    preview: Preview | None = None,
    status: int = 200,
) -> web.Response:
    looked = await webhook.look(visit)
    before = visit.position()
    found = await visit.services.replays.list(
        visit.environment_id, looked.webhook.id, before=before, limit=SHOWN
    )
    return webhook.page(
        visit,
        "webhook_recoveries.html",
        looked,
        status=status,
        tab="recoveries",
        recoveries=found,
        first=before is None,
        typed=typed,
        form=form,
        preview=preview,
        mistakes=wrong or {},
    )


def _address(visit: Visit) -> str:
    return visit.url("webhook_recoveries", webhook_id=webhook.named(visit))


def _given(visit: Visit, typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the input model expects them.

    The first step converts a preset to times. The second step sends those times.
    """
    times = {name: typed.get(name, "").strip() for name in ("since", "until")}
    span = PRESETS.get(typed.get("preset", ""))
    if span is not None:
        since = datetime.now(UTC) - span
        times = {"since": since.isoformat(timespec="seconds"), "until": ""}
    given: dict[str, Any] = {**visit.moments(times), "missed": typed.get("missed") == "on"}
    if rate := typed.get("rate", "").strip():
        given["rate"] = int(rate) if rate.isascii() and rate.isdigit() else rate
    return given


PAGES = (
    ("GET", "webhook_recoveries", list_),
    ("POST", "webhook_recoveries", recover),
    ("POST", "webhook_recovery_cancel", cancel),
)
