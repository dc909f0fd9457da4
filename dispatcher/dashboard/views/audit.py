"""The pages for the audit log: all of it, and the history of one webhook."""

from uuid import UUID

from aiohttp import web

from dispatcher.core.pagination import Page
from dispatcher.dashboard.request import PAGE_SIZE, DashboardRequest
from dispatcher.dashboard.views import webhook
from dispatcher.dashboard.words import audit_words
from dispatcher.services.audit.audit_log import AuditEntry

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
        subject=await _subject(request, filters["subject"]),
        before=request.position(),
        limit=PAGE_SIZE,
    )
    actors = await request.services.audit_log.actors(request.environment_id)
    return request.page(
        "audit.html",
        lines=await _lines(request, page),
        next=page.next,
        typed=filters,
        actors=audit_words.choices(actors, filters["actor"]),
        actions=audit_words.ACTIONS,
        everywhere=everywhere,
        environments=await request.services.environments.names(
            {entry.environment_id for entry in page.items if everywhere and entry.environment_id}
        ),
    )


async def of_webhook(request: DashboardRequest) -> web.Response:
    """Show who changed a webhook, which is a tab of its page."""
    request.demand("support")
    view = await webhook.load(request)
    page = await request.services.audit_log.list(
        request.environment_id,
        subject=str(view.webhook.id),
        before=request.position(),
        limit=PAGE_SIZE,
    )
    return webhook.page(
        request,
        "webhook_history.html",
        view,
        tab="history",
        lines=await _lines(request, page),
        next=page.next,
    )


async def _lines(request: DashboardRequest, page: Page[AuditEntry, int]) -> list[audit_words.Line]:
    filtered = (audit_words.filtered_webhook(entry) for entry in page.items)
    webhooks = {webhook_id for webhook_id in filtered if webhook_id is not None}
    names = await request.services.audit_log.webhook_names(webhooks)
    return [audit_words.line(entry, names) for entry in page.items]


async def _subject(request: DashboardRequest, text: str) -> str | None:
    """Return the id of a webhook with this name, else the text, which may be an id itself."""
    if not text:
        return None
    try:
        return str(UUID(text))
    except ValueError:
        matches = await request.services.webhook_names.search(request.environment_id, text, limit=2)
    named = [match for match in matches if match.name.lower() == text.lower()]
    return str(named[0].id) if len(named) == 1 else text


PAGES = (
    ("GET", "audit", show),
    ("GET", "webhook_history", of_webhook),
)
