"""The pages for the choice of an environment."""

from collections.abc import Sequence

from aiohttp import web

from dispatcher.core.errors import NotFoundError
from dispatcher.dashboard import addresses
from dispatcher.dashboard.request import DashboardRequest, see_other
from dispatcher.services.environments import Environment

PAGE_SIZE = 100
MATCHES = 20
"""Environments that the menu lists for a typed text."""


async def show(request: DashboardRequest) -> web.Response:
    """Show the environments to switch to: as a page, or as the list for the menu."""
    _require_all(request)
    name = addresses.counterpart(request.http.query.get("page", "overview"))
    wanted = request.http.query.get("to", "").strip()
    if "HX-Request" in request.http.headers and wanted:
        found = await request.services.environments.search(wanted, limit=MATCHES)
        return request.page("environment_options.html", links=_links(found, name))
    page = await request.services.environments.list(before=request.position(), limit=PAGE_SIZE)
    is_for_menu = "HX-Request" in request.http.headers
    template = "environment_options.html" if is_for_menu else "environments.html"
    return request.page(template, links=_links(page.items, name), next=page.next)


async def switch(request: DashboardRequest) -> web.Response:
    """Redirect to the same kind of page in another environment."""
    _require_all(request)
    wanted = request.http.query.get("to", "").strip()
    environment_id = await _environment_id(request, wanted)
    name = addresses.counterpart(request.http.query.get("page", "overview"))
    return see_other(addresses.address(environment_id, name))


async def _environment_id(request: DashboardRequest, wanted: str) -> str:
    """Return the environment with this id, else the one with this name.

    Raise NotFoundError if there is none, or if several have the name.
    """
    try:
        return (await request.services.environments.get(wanted)).id
    except NotFoundError:
        found = await request.services.environments.search(wanted, limit=MATCHES)
        named = [each.id for each in found if each.name.lower() == wanted.lower()]
        if len(named) != 1:
            raise
        return named[0]


def _links(found: Sequence[Environment], name: str) -> list[tuple[Environment, str]]:
    """Return environments, each with its address of the page `name`."""
    return [(item, addresses.address(item.id, name)) for item in found]


def _require_all(request: DashboardRequest) -> None:
    if not request.sees_all:
        raise NotFoundError("There is nothing here.")


PAGES = (
    ("GET", "environments", show),
    ("GET", "switch", switch),
)
