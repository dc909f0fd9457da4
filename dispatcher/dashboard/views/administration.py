"""Tokens, the audit, the names of environments: for administrators. And quarantine."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.errors import Invalid, Unknown
from dispatcher.dashboard import addresses
from dispatcher.dashboard.request import Visit, mistakes, see_other
from dispatcher.services.inputs.tokens import EVERY, NewToken, Scope

SHOWN = 50
ENVIRONMENTS_SHOWN = 100
LASTS = {"": None, "1": 1, "30": 30, "90": 90, "365": 365}
"""Days that one can choose for a token to last."""


async def tokens(visit: Visit) -> web.Response:
    visit.demand("admin")
    return await _tokens(visit, {})


async def create_token(visit: Visit) -> web.Response:
    """The token is in the answer, and nowhere else."""
    typed = await visit.fields()
    try:
        form = NewToken.model_validate(_new_token(visit, typed))
        async with visit.changing("admin") as session:
            made = await visit.office.tokens(session, visit.actor).create(
                form, environment_id=visit.principal.environment_id
            )
            # Written before the commit: after it nothing may take the token away.
            return visit.page("token.html", secret=True, token=made)
    except (ValidationError, Invalid) as error:
        return await _tokens(visit, typed, mistakes(error), status=422)


async def revoke_token(visit: Visit) -> web.Response:
    try:
        token_id = UUID(visit.request.match_info["token_id"])
    except ValueError:
        raise Unknown("There is no such token.") from None
    async with visit.changing("admin") as session:
        await visit.office.tokens(session, visit.actor).revoke(
            token_id, environment_id=visit.principal.environment_id
        )
    return see_other(visit.url("tokens"), "revoked")


async def _tokens(
    visit: Visit,
    typed: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    listed = await visit.office.tokens(visit.pool, visit.actor).list(visit.principal.environment_id)
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
        "environment_id": EVERY if everywhere else visit.environment_id,
        "scope": scope,
        "expires_at": None if days is None else datetime.now(UTC) + timedelta(days=days),
    }


async def audit(visit: Visit) -> web.Response:
    """Of the environment that is looked at; of all with `all`, for those who may."""
    visit.demand("admin")
    asked = {n: visit.request.query.get(n, "").strip() for n in ("actor", "action", "subject")}
    everywhere = visit.sees_all and "all" in visit.request.query
    page = await visit.office.trail(visit.pool).list(
        None if everywhere else visit.environment_id,
        actor=asked["actor"] or None,
        action=asked["action"] or None,
        subject=asked["subject"] or None,
        before=visit.position(),
        limit=SHOWN,
    )
    return visit.page("audit.html", entries=page, asked=asked, everywhere=everywhere)


async def environments(visit: Visit) -> web.Response:
    """Where the switch leads: a page of its own, or the list in the menu that asks for it."""
    _demand_all(visit)
    before = visit.position()
    page = await visit.office.environments(visit.pool, visit.actor).list(
        before=before, limit=ENVIRONMENTS_SHOWN
    )
    name = addresses.counterpart(visit.request.query.get("page", "overview"))
    links = [(each, addresses.address(each.id, name)) for each in page.items]
    listed = "HX-Request" in visit.request.headers
    template = "environment_links.html" if listed else "environments.html"
    return visit.page(template, links=links, next=page.next)


async def switch(visit: Visit) -> web.Response:
    """The page of the same kind in another environment."""
    _demand_all(visit)
    wanted = visit.request.query.get("to", "").strip()
    await visit.office.environments(visit.pool, visit.actor).get(wanted)
    name = addresses.counterpart(visit.request.query.get("page", "overview"))
    return see_other(addresses.address(wanted, name))


def _demand_all(visit: Visit) -> None:
    if not visit.sees_all:
        raise Unknown("There is nothing here.")


async def quarantine(visit: Visit) -> web.Response:
    page = await visit.office.quarantine(visit.pool, visit.actor).list(
        visit.environment_id, before=visit.position(), limit=SHOWN
    )
    return visit.page("quarantine.html", quarantined=page)


async def release(visit: Visit) -> web.Response:
    name = visit.request.match_info["quarantine_id"]
    async with visit.changing() as session:
        await visit.office.quarantine(session, visit.actor).release(visit.environment_id, name)
    return see_other(visit.url("quarantine"), "released")


async def discard(visit: Visit) -> web.Response:
    name = visit.request.match_info["quarantine_id"]
    async with visit.changing() as session:
        await visit.office.quarantine(session, visit.actor).discard(visit.environment_id, name)
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
