"""The pages for the choice of an environment."""

from collections.abc import Mapping, Sequence

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import NotFoundError
from dispatcher.dashboard import addresses
from dispatcher.dashboard.request import DashboardRequest, field_errors, see_other
from dispatcher.services.environments import Environment
from dispatcher.services.inputs.environment_inputs import EnvironmentChanges

SHOWN_LIMIT = 100
MATCHES_LIMIT = 20
"""Environments that the menu lists for a typed text."""


async def show(request: DashboardRequest) -> web.Response:
    """Show the environments to switch to: as a page, or as the list for the menu."""
    _require_all(request)
    name = addresses.counterpart(request.http.query.get("page", "overview"))
    text = request.http.query.get("to", "").strip()
    if "HX-Request" in request.http.headers and text:
        matches = await request.services.environments.search(text, limit=MATCHES_LIMIT + 1)
        return _options(
            request, matches[:MATCHES_LIMIT], name, has_more=len(matches) > MATCHES_LIMIT
        )
    if "HX-Request" in request.http.headers:
        page = await request.services.environments.list(
            before=request.position(), limit=SHOWN_LIMIT
        )
        return _options(request, page.items, name, has_more=page.next is not None)
    return await _page(request, request.environment.name, {})


async def rename(request: DashboardRequest) -> web.Response:
    """Rename the environment of the page."""
    typed = (await request.fields()).get("name", "").strip()
    try:
        form = EnvironmentChanges(name=typed)
        async with request.changing("admin") as services:
            await services.environments.rename(request.environment_id, form)
    except ValidationError as error:
        return await _page(request, typed, field_errors(error), status=422)
    return see_other(request.url("environments" if request.sees_all else "overview"), "changed")


async def switch(request: DashboardRequest) -> web.Response:
    """Redirect to the same kind of page in another environment."""
    _require_all(request)
    text = request.http.query.get("to", "").strip()
    environment_id = await _environment_id(request, text)
    name = addresses.counterpart(request.http.query.get("page", "overview"))
    return see_other(addresses.address(environment_id, name))


async def _environment_id(request: DashboardRequest, text: str) -> str:
    """Return the environment with this id, else the one with this name.

    Raise NotFoundError if there is none, or if several have the name.
    """
    try:
        return (await request.services.environments.get(text)).id
    except NotFoundError:
        matches = await request.services.environments.search(text, limit=MATCHES_LIMIT)
        named = [
            environment.id for environment in matches if environment.name.lower() == text.lower()
        ]
        if len(named) != 1:
            raise
        return named[0]


def _options(
    request: DashboardRequest, environments: Sequence[Environment], name: str, *, has_more: bool
) -> web.Response:
    links = _links(environments, name)
    return request.page("environment_options.html", links=links, has_more=has_more)


async def _page(
    request: DashboardRequest, typed: str, wrong: Mapping[str, str], *, status: int = 200
) -> web.Response:
    name = addresses.counterpart(request.http.query.get("page", "overview"))
    links: list[tuple[Environment, str]] = []
    following = None
    if request.sees_all:
        page = await request.services.environments.list(
            before=request.position(), limit=SHOWN_LIMIT
        )
        links, following = _links(page.items, name), page.next
    return request.page(
        "environments.html",
        status=status,
        links=links,
        next=following,
        typed=typed,
        field_errors=wrong,
    )


def _links(environments: Sequence[Environment], name: str) -> list[tuple[Environment, str]]:
    """Return environments, each with its address of the page `name`."""
    return [(item, addresses.address(item.id, name)) for item in environments]


def _require_all(request: DashboardRequest) -> None:
    if not request.sees_all:
        raise NotFoundError("There is nothing here.")


PAGES = (
    ("GET", "environments", show),
    ("POST", "environment_rename", rename),
    ("GET", "switch", switch),
)
