"""Handlers of `/api/environments`, `/api/tokens`, `/api/audit` and `/api/pause`."""

from uuid import UUID

from dispatcher.api.pipeline import page_limit, uuid
from dispatcher.api.routes import Route
from dispatcher.api.types import Answer, Call, Shape
from dispatcher.core.errors import ForbiddenError
from dispatcher.services.audit_log import AuditEntry
from dispatcher.services.environments import Environment
from dispatcher.services.inputs.audit import AuditQuery
from dispatcher.services.inputs.environments import EnvironmentQuery, NewEnvironment
from dispatcher.services.inputs.pauses import PauseForm
from dispatcher.services.inputs.tokens import NewToken, TokenQuery
from dispatcher.services.pauses import Pause
from dispatcher.services.propagation import wait_until_applied
from dispatcher.services.tokens import Token

ENVIRONMENT = Shape("environment")
TOKEN = Shape("token")
AUDIT = Shape("audit_entry")
PAUSE = Shape("pause", id="environment_id")


async def list_environments(call: Call) -> Answer:
    """Return a page of environments. A token of one environment sees only its own."""
    if call.principal.environment_id is not None:
        return Answer(
            (await call.services.environments.get(call.principal.environment_id),), paged=True
        )
    page = await call.services.environments.list(before=call.before, limit=page_limit(call.query))
    return Answer.of(page)


async def create_environment(call: Call) -> Answer:
    """Create an environment. Raise ForbiddenError for a token of one environment."""
    if call.principal.environment_id is not None:
        raise ForbiddenError("a token of one environment cannot make others")
    made = await call.services.environments.create(call.form)
    return Answer(made, 201)


async def list_tokens(call: Call) -> Answer:
    """Return the tokens of the environment, or of all for a token of all environments."""
    after = None if call.position is None else UUID(call.position)
    found = await call.services.tokens.list(
        call.principal.environment_id, after=after, limit=call.limit + 1
    )
    shown = found[: call.limit]
    more = str(shown[-1].id) if len(found) > len(shown) else None
    return Answer(shown, paged=call.is_paged, next=more)


async def create_token(call: Call) -> Answer:
    """Create a token. The response is the only one that contains its text."""
    made = await call.services.tokens.create(
        call.form, environment_id=call.principal.environment_id
    )
    return Answer(made, 201)


async def revoke_token(call: Call) -> Answer:
    """Revoke a token."""
    await call.services.tokens.revoke(
        uuid(call.path["token_id"]), environment_id=call.principal.environment_id
    )
    return Answer(status=204)


async def audit(call: Call) -> Answer:
    """Return a page of the audit log, restricted to the token's environment."""
    query: AuditQuery = call.query
    bound = call.principal.environment_id
    if bound is not None and query.environment_id not in (None, bound):
        return Answer((), paged=True)
    page = await call.services.audit_log.list(
        bound or query.environment_id,
        actor=query.actor,
        action=query.action,
        subject=query.subject,
        before=call.before,
        limit=page_limit(query),
    )
    return Answer.of(page)


async def paused(call: Call) -> Answer:
    """Return whether the environment, or all environments, are paused."""
    return Answer(await call.services.pauses.get(call.environment_id))


async def pause(call: Call) -> Answer:
    """Pause sending for the environment, or for all of them."""
    paused, version = await call.services.pauses.pause(_whom(call))
    return Answer(paused, awaits=lambda pool: wait_until_applied(pool, version))


async def resume(call: Call) -> Answer:
    """Resume sending for the environment, or for all of them."""
    return Answer(await call.services.pauses.resume(_whom(call)))


def _whom(call: Call) -> str | None:
    """Return the environment to pause or resume, None for all of them.

    Raise ForbiddenError if the body asks for all and the token belongs to one environment.
    """
    if not call.form.all:
        return call.environment_id
    if call.principal.environment_id is not None:
        raise ForbiddenError("a token of one environment cannot pause or resume the others")
    return None


ROUTES = (
    Route(
        method="GET",
        path="/api/environments",
        name="list_environments",
        summary="The environments that the token is for",
        scope="admin",
        handle=list_environments,
        shape=ENVIRONMENT,
        answers=Environment,
        query=EnvironmentQuery,
        many=True,
        paged=True,
        everywhere=True,
    ),
    Route(
        method="POST",
        path="/api/environments",
        name="create_environment",
        summary="A new environment",
        scope="admin",
        handle=create_environment,
        shape=ENVIRONMENT,
        answers=Environment,
        form=NewEnvironment,
        status=201,
        changes=True,
        everywhere=True,
    ),
    Route(
        method="GET",
        path="/api/tokens",
        name="list_tokens",
        summary="Tokens, without their text; newest first; a page if a cursor or limit is given",
        scope="admin",
        handle=list_tokens,
        shape=TOKEN,
        answers=Token,
        query=TokenQuery,
        many=True,
        everywhere=True,
    ),
    Route(
        method="POST",
        path="/api/tokens",
        name="create_token",
        summary="A new token; its text is in the answer, this once",
        scope="admin",
        handle=create_token,
        shape=TOKEN,
        answers=Token,
        form=NewToken,
        status=201,
        changes=True,
        everywhere=True,
    ),
    Route(
        method="DELETE",
        path="/api/tokens/{token_id}",
        name="revoke_token",
        summary="Refuse a token from now on",
        scope="admin",
        handle=revoke_token,
        shape=TOKEN,
        answers=None,
        status=204,
        changes=True,
        everywhere=True,
    ),
    Route(
        method="GET",
        path="/api/audit",
        name="list_audit",
        summary="Who changed what, newest first",
        scope="admin",
        handle=audit,
        shape=AUDIT,
        answers=AuditEntry,
        query=AuditQuery,
        many=True,
        paged=True,
        everywhere=True,
    ),
    Route(
        method="GET",
        path="/api/pause",
        name="get_pause",
        summary="Whether sending is paused for the environment, by itself or with all",
        scope="read",
        handle=paused,
        shape=PAUSE,
        answers=Pause,
    ),
    Route(
        method="POST",
        path="/api/pause",
        name="pause",
        summary="Stop sending; what is emitted meanwhile is owed",
        scope="admin",
        handle=pause,
        shape=PAUSE,
        answers=Pause,
        form=PauseForm,
        changes=True,
    ),
    Route(
        method="POST",
        path="/api/resume",
        name="resume",
        summary="Start sending again; a conflict while only all environments are paused",
        scope="admin",
        handle=resume,
        shape=PAUSE,
        answers=Pause,
        form=PauseForm,
        changes=True,
    ),
)
