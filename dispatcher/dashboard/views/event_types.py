"""The pages for the catalogue of event types."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import ChangedError, InvalidError, NotFoundError
from dispatcher.dashboard.field_texts import is_same_json, one_line, read_json
from dispatcher.dashboard.request import DashboardRequest, field_errors, see_other
from dispatcher.dashboard.views.webhook_settings import revision_of
from dispatcher.services import shipped_catalogs
from dispatcher.services.event_types.event_type_resource import NO_TYPE, EventType, type_revision
from dispatcher.services.inputs.event_type_inputs import EventTypePut

CHANGED_SINCE: Final = {
    "form": "Another user has changed or deleted the event type since you opened this page. Reload"
    " the page."
}
JSON_FIELDS: Final = ("example", "schema")
EXISTS: Final = {"name": "is in the catalogue already. Open it there to change it."}


async def list_(request: DashboardRequest) -> web.Response:
    """Show the catalogue, and the shipped catalogues to add."""
    types = await request.services.event_types.list(request.environment_id)
    return request.page("event_types.html", types=types, shipped=shipped_catalogs.shipped())


async def seed(request: DashboardRequest) -> web.Response:
    """Add the event types of a catalogue that is shipped with Dispatcher.

    Types that the environment's catalogue has already stay as they are.
    """
    catalogue = (await request.fields()).get("catalogue", "")
    if catalogue not in shipped_catalogs.shipped():
        raise web.HTTPNotFound
    request.demand("write")
    known = {
        event_type.name
        for event_type in await request.services.event_types.list(request.environment_id)
    }
    entries = [e for e in shipped_catalogs.open_shipped(catalogue) if e.name not in known]
    await request.services.event_type_writer.load(request.environment_id, entries)
    return see_other(request.url("event_types"), "changed")


async def edit(request: DashboardRequest) -> web.Response:
    """Show the form for an event type: the existing one that the path names, or a new one."""
    name = request.http.match_info.get("name")
    if name is None:
        request.demand("write")
        return _form(request, None, {})
    event_type = await request.services.event_types.get(request.environment_id, name)
    return _form(request, event_type, _typed(event_type))


async def put(request: DashboardRequest) -> web.Response:
    """Create an event type, or change what differs.

    Nothing is changed if the type has changed since the page was loaded. Raise ForbiddenError if
    the token lacks the scope.
    """
    request.demand("write")
    typed = await request.fields()
    known = request.http.match_info.get("name")
    name = known or typed.get("name", "").strip()
    revision = NO_TYPE if known is None else revision_of(typed.get("revision", ""))
    try:
        is_new = await _put(request, name, _given(typed), revision)
    except (ValidationError, InvalidError) as error:
        return _form(request, None, {**typed, "name": name}, field_errors(error), status=422)
    except ChangedError:
        wrong = EXISTS if known is None else CHANGED_SINCE
        return _form(request, None, {**typed, "name": name}, wrong, status=409)
    return see_other(request.url("event_types"), "created" if is_new else "changed")


async def _put(
    request: DashboardRequest, name: str, fields: Mapping[str, Any], revision: int | None
) -> bool:
    """Write the fields of a type that differ. Return True if the type is new.

    Raise ChangedError if a field differs and the revision is outdated. Raise InvalidError or
    ValidationError if a field is invalid.
    """
    stored = await _stored(request, name)
    different = _different(stored, fields)
    for field in JSON_FIELDS:
        if field in different:
            different[field] = read_json(field, different[field])
    form = EventTypePut.model_validate(different)
    if stored is not None and not different:
        return False
    writer = request.services.event_type_writer
    _, is_new = await writer.put(request.environment_id, name, form, revision=revision)
    return is_new


async def _stored(request: DashboardRequest, name: str) -> EventType | None:
    """Return a type, or None if the catalogue has none of this name."""
    with suppress(NotFoundError):
        return await request.services.event_types.get(request.environment_id, name)
    return None


async def delete(request: DashboardRequest) -> web.Response:
    """Delete an event type."""
    name = request.http.match_info["name"]
    async with request.changing() as services:
        await services.event_types.delete(request.environment_id, name)
    return see_other(request.url("event_types"))


def _form(
    request: DashboardRequest,
    event_type: EventType | None,
    typed: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    known = event_type is not None or "name" in request.http.match_info
    return request.page(
        "event_type.html", status=status, known=known, typed=typed, field_errors=wrong or {}
    )


def _typed(event_type: EventType) -> dict[str, str]:
    return {
        "name": event_type.name,
        "description": event_type.description,
        "example": event_type.example or "",
        "schema": event_type.schema or "",
        "enforce": "on" if event_type.enforce else "",
        "revision": str(type_revision(event_type.updated_at)),
    }


def _given(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the input model expects them, with the texts of JSON."""
    return {
        "description": typed.get("description", "").strip(),
        "example": typed.get("example", ""),
        "schema": typed.get("schema", ""),
        "enforce": typed.get("enforce") == "on",
    }


def _different(stored: EventType | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return only the fields that differ from the stored ones: all of them for a new type."""
    if stored is None:
        return dict(fields)
    same = {
        "description": fields["description"] == one_line(stored.description),
        "example": is_same_json(fields["example"], stored.example or ""),
        "schema": is_same_json(fields["schema"], stored.schema or ""),
        "enforce": fields["enforce"] == stored.enforce,
    }
    return {name: value for name, value in fields.items() if not same[name]}


PAGES = (
    ("GET", "event_types", list_),
    ("POST", "event_types", seed),
    ("GET", "event_type_new", edit),
    ("POST", "event_type_new", put),
    ("GET", "event_type", edit),
    ("POST", "event_type", put),
    ("POST", "event_type_delete", delete),
)
