"""Handler of `/api/audit`."""

from dispatcher.api.pages import page_limit, page_result
from dispatcher.api.routes import Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.services.audit.audit_log import AuditEntry
from dispatcher.services.inputs.audit_inputs import AuditQuery

routes = Routes(Shape("audit_entry"))


@routes.get("/api/audit", scope="support", page=True, all_environments=True)
async def list_audit(call: Call, query: AuditQuery) -> HandlerResult[tuple[AuditEntry, ...]]:
    """List the changes with the actor of each, newest first.

    A token of one environment sees only the changes in its environment.
    """
    own_id = call.principal.environment_id
    if own_id is not None and query.environment_id not in (None, own_id):
        return HandlerResult((), is_page=True)
    page = await call.services.audit_log.list(
        own_id or query.environment_id,
        actor=query.actor,
        action=query.action,
        subject=query.subject,
        before=call.before,
        limit=page_limit(query),
    )
    return page_result(page)
