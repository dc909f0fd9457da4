"""The pages for the catalogue of event types."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import InvalidError
from dispatcher.dashboard.request import DashboardRequest, field_errors, see_other
from dispatcher.services import shipped_catalogs
from dispatcher.services.event_types.event_type_resource import EventType
from dispatcher.services.inputs.event_type_inputs import EventTypePut


async def list_(request: DashboardRequest) -> web.Response:
    """Show the catalogue, and the shipped catalogues to add."""
    types = await request.services.event_types.list(request.environment_id)
    return request.page("event_types.html", types=types, shipped=shipped_catalogs.shipped())


async def seed(request: DashboardRequest) -> web.Response:
    """Add the event types of a catalogue that is shipped with Dispatcher."""
    catalogue = (await request.fields()).get("catalogue", "")
    if catalogue not in shipped_catalogs.shipped():
        raise web.HTTPNotFound
    entries = shipped_catalogs.open_shipped(catalogue)
    request.demand("write")
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
    """Create or replace an event type."""
    typed = await request.fields()
    name = request.http.match_info.get("name") or typed.get("name", "").strip()
    try:
        form = EventTypePut.model_validate(_given(typed))
        request.demand("write")
        _, made = await request.services.event_type_writer.put(request.environment_id, name, form)
    except (ValidationError, InvalidError) as error:
        return _form(request, None, {**typed, "name": name}, field_errors(error), status=422)
    return see_other(request.url("event_types"), "created" if made else "changed")


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
    }


def _given(typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields as the input model expects them, with JSON parsed.

    Raise InvalidError if a field is not JSON.
    """
    return {
        "description": typed.get("description", "").strip(),
        "example": _json("example", typed.get("example", "")),
        "schema": _json("schema", typed.get("schema", "")),
        "enforce": typed.get("enforce") == "on",
    }


def _json(field: str, text: str) -> object:
    if not text.strip():
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidError.field(field, f"is not JSON: {error}") from None


PAGES = (
    ("GET", "event_types", list_),
    ("POST", "event_types", seed),
    ("GET", "event_type_new", edit),
    ("POST", "event_type_new", put),
    ("GET", "event_type", edit),
    ("POST", "event_type", put),
    ("POST", "event_type_delete", delete),
)
