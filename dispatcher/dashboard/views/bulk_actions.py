"""The pages for bulk actions: count what a filter selects, start, and watch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ConflictError, InvalidError
from dispatcher.core.model import Scope
from dispatcher.dashboard.lists import delivery_filter_form
from dispatcher.dashboard.lists.delivery_filter_form import TypedFilter
from dispatcher.dashboard.request import DashboardRequest, field_errors, see_other
from dispatcher.services.deliveries.bulk_actions import BulkAction, BulkCount
from dispatcher.services.inputs.bulk_action_inputs import (
    SELECTED_LIMIT,
    BulkFilters,
    NewBulkAction,
)

SHOWN_LIMIT: Final = 20
NONE_SELECTED: Final = "No delivery is selected. Tick the deliveries, then choose again."


async def list_(request: DashboardRequest) -> web.Response:
    """Show the bulk actions of the environment, the newest first."""
    page = await request.services.bulk_actions.list(
        request.environment_id, before=request.position(), limit=SHOWN_LIMIT
    )
    return request.page(
        "bulk_actions.html",
        actions=page,
        names=await _webhook_names(request, page.items),
        first=request.position() is None,
    )


async def begin(request: DashboardRequest) -> web.Response:
    """Show how many deliveries a bulk action would change, or start it in the second step.

    The second step concerns exactly what was counted: no delivery that was made since. Deliveries
    that were ticked one by one need no count.
    """
    typed = await request.fields()
    request.demand(_scope(typed.get("action", "")))
    selected = (await request.several("ids"))[:SELECTED_LIMIT]
    typed_filter = await delivery_filter_form.read(request, typed)
    is_selection = typed.get("of") == "selected"
    if is_selection and not selected:
        return _refuse(request, typed_filter, NONE_SELECTED, status=422)
    if typed_filter.wrong:
        return _refuse(request, typed_filter, " ".join(typed_filter.wrong.values()), status=422)
    try:
        form = NewBulkAction.model_validate(
            _given(typed, typed_filter, selected if is_selection else []), strict=False
        )
        counted = await request.services.bulk_actions.count(
            request.environment_id, form, datetime.now(UTC)
        )
        if not is_selection and typed.get("step") != "start":
            return request.page(
                "bulk_preview.html",
                typed_filter=typed_filter,
                form=form,
                counted=counted,
                refused=None,
            )
        return await _start(request, form, counted)
    except (ValidationError, InvalidError) as error:
        return _refuse(request, typed_filter, " ".join(field_errors(error).values()), status=422)
    except ConflictError as error:
        return _refuse(request, typed_filter, str(error), status=409)


async def one(request: DashboardRequest) -> web.Response:
    """Show a bulk action and its progress."""
    name = request.http.match_info["bulk_action_id"]
    action = await request.services.bulk_actions.get(request.environment_id, name)
    names = await _webhook_names(request, [action])
    return request.page("bulk_action.html", action=action, names=names)


async def cancel(request: DashboardRequest) -> web.Response:
    """Cancel a bulk action. What it has changed stays changed."""
    name = request.http.match_info["bulk_action_id"]
    page = request.url("bulk_action", bulk_action_id=name)
    try:
        action = await request.services.bulk_actions.get(request.environment_id, name)
        async with request.changing(_scope(action.action)) as services:
            await services.bulk_actions.cancel(request.environment_id, name)
    except ConflictError:
        return see_other(page)
    return see_other(page, "cancelled")


async def _start(
    request: DashboardRequest, form: NewBulkAction, counted: BulkCount
) -> web.Response:
    async with request.changing(_scope(form.action)) as services:
        action = await services.bulk_actions.start(
            request.environment_id, form, counted, datetime.now(UTC)
        )
    return see_other(request.url("bulk_action", bulk_action_id=action.id), "started")


async def _webhook_names(
    request: DashboardRequest, actions: Sequence[BulkAction]
) -> Mapping[UUID, str]:
    """Return the names of the webhooks that the filters of these actions name."""
    ids = {
        action.filters.webhook_id
        for action in actions
        if action.filters and action.filters.webhook_id
    }
    names = await request.services.webhook_names.of(request.environment_id, ids)
    return {id_: known.name for id_, known in names.items()}


def _scope(action: str) -> Scope:
    """Return the scope that a bulk action needs. Retrying is less than a change."""
    return "support" if action == "retry" else "write"


def _given(
    typed: Mapping[str, str], typed_filter: TypedFilter, selected: list[str]
) -> dict[str, Any]:
    """Return the fields of the form as the input model expects them."""
    fields: dict[str, Any] = {"action": typed.get("action", ""), "delivery_ids": tuple(selected)}
    if not selected:
        fields["filters"] = BulkFilters(
            **typed_filter.filters.given(), webhook_id=typed_filter.webhook_id
        )
    for name in ("below", "rate"):
        if text := typed.get(name, "").strip():
            fields[name] = text
    return fields


def _refuse(
    request: DashboardRequest, typed_filter: TypedFilter, reason: str, *, status: int
) -> web.Response:
    return request.page(
        "bulk_preview.html",
        status=status,
        typed_filter=typed_filter,
        form=None,
        counted=None,
        refused=reason,
    )


PAGES = (
    ("GET", "bulk_actions", list_),
    ("POST", "bulk_actions", begin),
    ("GET", "bulk_action", one),
    ("POST", "bulk_action_cancel", cancel),
)
