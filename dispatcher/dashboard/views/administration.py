"""The pages for tokens, the audit log, environments and the quarantine."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.errors import InvalidError, NotFoundError
from dispatcher.dashboard import addresses
from dispatcher.dashboard.request import Visit, mistakes, see_other
from dispatcher.services.inputs.tokens import NewToken, Scope

SHOWN = 50
ENVIRONMENTS_SHOWN = 100
LASTS = {"": None, "1": 1, "30": 30, "90": 90, "365": 365}
"""The lifetimes in days that the form offers for a token."""


async def tokens(visit: Visit) -> web.Response:
    """Show the tokens, and the form to create one."""
    visit.demand("admin")
    return await _tokens(visit, {})


async def create_token(visit: Visit) -> web.Response:
    """Create a token. The response is the only page that ever shows it."""
    typed = await visit.fields()
    try:
        form = NewToken.model_validate(_new_token(visit, typed))
        async with visit.changing("admin") as services:
            made = await services.tokens.create(form, environment_id=visit.principal.environment_id)
            # Render before the commit. Otherwise an error after it would lose the token.
            return visit.page("token.html", secret=True, token=made)
    except (ValidationError, InvalidError) as error:
        return await _tokens(visit, typed, mistakes(error), status=422)


async def revoke_token(visit: Visit) -> web.Response:
    """Revoke a token."""
    try:
        token_id = UUID(visit.request.match_info["token_id"])
    except ValueError:
        raise NotFoundError("There is no such token.") from None
    async with visit.changing("admin") as services:
        await services.tokens.revoke(token_id, environment_id=visit.principal.environment_id)
    return see_other(visit.url("tokens"), "revoked")


async def _tokens(
    visit: Visit,
    typed: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    listed = await visit.services.tokens.list(visit.principal.environment_id)
    return visit.page(
        "tokens.html",
        status=status,
        tokens=listed,
        typed=typed,
        mistakes=wrong or {},
        now=datetime.now(UTC),
    )


def _new_token(visit: Visit, typed: Mapping[str, str]) -> dict[str, object]:
    days = LASTS.get(typed.get("lasts", ""))
    scope: Scope | str = typed.get("scope", "read")
    everywhere = typed.get("everywhere") == "on"
    return {
        "name": typed.get("name", "").strip(),
        "environment_id": ALL_ENVIRONMENTS if everywhere else visit.environment_id,
        "scope": scope,
        "expires_at": None if days is None else datetime.now(UTC) + timedelta(days=days),
    }


async def audit(visit: Visit) -> web.Response:
    """Show the audit log of this environment, or of all with `all` if the token may see them."""
    visit.demand("admin")
    asked = {n: visit.request.query.get(n, "").strip() for n in ("actor", "action", "subject")}
    everywhere = visit.sees_all and "all" in visit.request.query
    page = await visit.services.audit_log.list(
        None if everywhere else visit.environment_id,
        actor=asked["actor"] or None,
        action=asked["action"] or None,
        subject=asked["subject"] or None,
        before=visit.position(),
        limit=SHOWN,
    )
    return visit.page("audit.html", entries=page, asked=asked, everywhere=everywhere)


async def environments(visit: Visit) -> web.Response:
    """Show the environments to switch to: as a page, or as the list for the menu."""
    _demand_all(visit)
    before = visit.position()
    page = await visit.services.environments.list(before=before, limit=ENVIRONMENTS_SHOWN)
    name = addresses.counterpart(visit.request.query.get("page", "overview"))
    links = [(each, addresses.address(each.id, name)) for each in page.items]
    listed = "HX-Request" in visit.request.headers
    template = "environment_links.html" if listed else "environments.html"
    return visit.page(template, links=links, next=page.next)


async def switch(visit: Visit) -> web.Response:
    """Redirect to the same kind of page in another environment."""
    _demand_all(visit)
    wanted = visit.request.query.get("to", "").strip()
    await visit.services.environments.get(wanted)
    name = addresses.counterpart(visit.request.query.get("page", "overview"))
    return see_other(addresses.address(wanted, name))


def _demand_all(visit: Visit) -> None:
    if not visit.sees_all:
        raise NotFoundError("There is nothing here.")


async def quarantine(visit: Visit) -> web.Response:
    """Show the events in quarantine."""
    page = await visit.services.quarantine.list(
        visit.environment_id, before=visit.position(), limit=SHOWN
    )
    return visit.page("quarantine.html", quarantined=page)


async def release(visit: Visit) -> web.Response:
    """Release an event from quarantine."""
    name = visit.request.match_info["quarantine_id"]
    async with visit.changing() as services:
        await services.quarantine.release(visit.environment_id, name)
    return see_other(visit.url("quarantine"), "released")


async def discard(visit: Visit) -> web.Response:
    """Discard an event in quarantine."""
    name = visit.request.match_info["quarantine_id"]
    async with visit.changing() as services:
        await services.quarantine.discard(visit.environment_id, name)
    return see_other(visit.url("quarantine"), "discarded")


PAGES = (
    ("GET", "tokens", tokens),
    ("POST", "tokens", create_token),
    ("POST", "token_revoke", revoke_token),
    ("GET", "audit", audit),
    ("GET", "environments", environments),
    ("GET", "switch", switch),
    ("GET", "quarantine", quarantine),
    ("POST", "quarantine_release", release),
    ("POST", "quarantine_discard", discard),
)
