"""The pages for the choice of an environment."""

from aiohttp import web

from dispatcher.core.errors import NotFoundError
from dispatcher.dashboard import addresses
from dispatcher.dashboard.request import DashboardRequest, see_other

PAGE_SIZE = 100


async def show(request: DashboardRequest) -> web.Response:
    """Show the environments to switch to: as a page, or as the list for the menu."""
    _require_all(request)
    before = request.position()
    page = await request.services.environments.list(before=before, limit=PAGE_SIZE)
    name = addresses.counterpart(request.http.query.get("page", "overview"))
    links = [(item, addresses.address(item.id, name)) for item in page.items]
    is_for_menu = "HX-Request" in request.http.headers
    template = "environment_links.html" if is_for_menu else "environments.html"
    return request.page(template, links=links, next=page.next)


async def switch(request: DashboardRequest) -> web.Response:
    """Redirect to the same kind of page in another environment."""
    _require_all(request)
    environment_id = request.http.query.get("to", "").strip()
    await request.services.environments.get(environment_id)
    name = addresses.counterpart(request.http.query.get("page", "overview"))
    return see_other(addresses.address(environment_id, name))


def _require_all(request: DashboardRequest) -> None:
    if not request.sees_all:
        raise NotFoundError("There is nothing here.")


PAGES = (
    ("GET", "environments", show),
    ("GET", "switch", switch),
)
