"""The page for the events in quarantine."""

from aiohttp import web

from dispatcher.dashboard.request import PAGE_SIZE, DashboardRequest, see_other


async def show(request: DashboardRequest) -> web.Response:
    """Show the events in quarantine."""
    page = await request.services.quarantine.list(
        request.environment_id, before=request.position(), limit=PAGE_SIZE
    )
    return request.page("quarantine.html", quarantined=page)


async def release(request: DashboardRequest) -> web.Response:
    """Release an event from quarantine."""
    quarantine_id = request.http.match_info["quarantine_id"]
    async with request.changing() as services:
        await services.quarantine.release(request.environment_id, quarantine_id)
    return see_other(request.url("quarantine"), "released")


async def discard(request: DashboardRequest) -> web.Response:
    """Discard an event in quarantine."""
    quarantine_id = request.http.match_info["quarantine_id"]
    async with request.changing() as services:
        await services.quarantine.discard(request.environment_id, quarantine_id)
    return see_other(request.url("quarantine"), "discarded")


PAGES = (
    ("GET", "quarantine", show),
    ("POST", "quarantine_release", release),
    ("POST", "quarantine_discard", discard),
)
