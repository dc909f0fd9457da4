"""The pages for API tokens."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web
from pydantic import ValidationError

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.errors import InvalidError, NotFoundError
from dispatcher.core.model import Scope
from dispatcher.core.pagination import CreationPosition
from dispatcher.dashboard.request import PAGE_SIZE, DashboardRequest, field_errors, see_other
from dispatcher.services.inputs.token_inputs import NewToken

LIFETIMES_DAYS = {"": None, "1": 1, "30": 30, "90": 90, "365": 365}
"""The lifetimes that the form offers for a token."""


async def show(request: DashboardRequest) -> web.Response:
    """Show the tokens, and the form to create one."""
    request.demand("admin")
    return await _page(request, {})


async def create(request: DashboardRequest) -> web.Response:
    """Create a token. The response is the only page that ever shows it."""
    typed = await request.fields()
    try:
        form = NewToken.model_validate(_new_token(request, typed))
        async with request.changing("admin") as services:
            token = await services.tokens.create(
                form, environment_id=request.principal.environment_id
            )
            # Render before the commit. Otherwise an error after it would lose the token.
            return request.page("token.html", secret=True, token=token)
    except (ValidationError, InvalidError) as error:
        return await _page(request, typed, field_errors(error), status=422)


async def revoke(request: DashboardRequest) -> web.Response:
    """Revoke a token."""
    try:
        token_id = UUID(request.http.match_info["token_id"])
    except ValueError:
        raise NotFoundError("There is no such token.") from None
    async with request.changing("admin") as services:
        await services.tokens.revoke(token_id, environment_id=request.principal.environment_id)
    return see_other(request.url("tokens"), "revoked")


async def _page(
    request: DashboardRequest,
    typed: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    after = _after(request)
    tokens = await request.services.tokens.list(
        request.principal.environment_id, after=after, limit=PAGE_SIZE + 1
    )
    bound = {token.environment_id for token in tokens} - {ALL_ENVIRONMENTS}
    return request.page(
        "tokens.html",
        status=status,
        tokens=tokens[:PAGE_SIZE],
        environments=await request.services.environments.names(bound),
        after=after,
        next=tokens[PAGE_SIZE - 1].position() if len(tokens) > PAGE_SIZE else None,
        typed=typed,
        field_errors=errors or {},
        now=datetime.now(UTC),
    )


def _after(request: DashboardRequest) -> CreationPosition | None:
    try:
        return CreationPosition.parse(request.http.query.get("after", ""))
    except ValueError:
        return None


def _new_token(request: DashboardRequest, typed: Mapping[str, str]) -> dict[str, object]:
    days = LIFETIMES_DAYS.get(typed.get("expires", ""))
    scope: Scope | str = typed.get("scope", "read")
    is_for_all = typed.get("everywhere") == "on"
    return {
        "name": typed.get("name", "").strip(),
        "environment_id": ALL_ENVIRONMENTS if is_for_all else request.environment_id,
        "scope": scope,
        "expires_at": None if days is None else datetime.now(UTC) + timedelta(days=days),
    }


PAGES = (
    ("GET", "tokens", show),
    ("POST", "tokens", create),
    ("POST", "token_revoke", revoke),
)
