"""The page for the audit log."""

from aiohttp import web

from dispatcher.dashboard.request import DashboardRequest

PAGE_SIZE = 50
FILTERS = ("actor", "action", "subject")


async def show(request: DashboardRequest) -> web.Response:
    """Show the audit log of this environment, or of all with `all` if the token may see them."""
    request.demand("support")
    filters = {name: request.http.query.get(name, "").strip() for name in FILTERS}
    everywhere = request.sees_all and "all" in request.http.query
    page = await request.services.audit_log.list(
        None if everywhere else request.environment_id,
        actor=filters["actor"] or None,
        action=filters["action"] or None,
        subject=filters["subject"] or None,
        before=request.position(),
        limit=PAGE_SIZE,
    )
    return request.page("audit.html", entries=page, asked=filters, everywhere=everywhere)


PAGES = (("GET", "audit", show),)
