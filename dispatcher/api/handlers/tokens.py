"""Handlers of `/api/tokens`."""

from dispatcher.api.pages import list_limit, list_result
from dispatcher.api.routes import Routes
from dispatcher.api.types import NO_CONTENT, Call, HandlerResult, Shape
from dispatcher.core.pagination import Page
from dispatcher.services.access.tokens import Token
from dispatcher.services.inputs.token_inputs import NewToken, TokenQuery

routes = Routes(Shape("token"))


@routes.get("/api/tokens", scope="admin", all_environments=True)
async def list_tokens(call: Call, query: TokenQuery) -> HandlerResult[tuple[Token, ...]]:
    """List the tokens without their text, newest first.

    The response is a page if a cursor or limit is given, or if there are many tokens.

    A token of one environment sees only those of its environment.
    """
    limit = list_limit(call, query)
    tokens = await call.services.tokens.list(
        call.principal.environment_id, after=call.after_creation, limit=limit + 1
    )
    return list_result(call, query, Page.of_items(tokens, limit, key=Token.position))


@routes.post("/api/tokens", scope="admin", status=201, transaction=True, all_environments=True)
async def create_token(call: Call, form: NewToken) -> HandlerResult[Token]:
    """Create a token. Only this response contains its text."""
    environment_id = call.principal.environment_id
    return HandlerResult(
        await call.services.tokens.create(form, environment_id=environment_id), 201
    )


@routes.delete("/api/tokens/{token_id}", scope="admin", transaction=True, all_environments=True)
async def revoke_token(call: Call) -> HandlerResult[None]:
    """Revoke a token, so that it is refused from now on."""
    environment_id = call.principal.environment_id
    await call.services.tokens.revoke(call.uuid("token_id"), environment_id=environment_id)
    return NO_CONTENT
