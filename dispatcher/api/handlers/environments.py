"""Handlers of `/api/environments`."""

from dispatcher.api.pages import page_limit, page_result
from dispatcher.api.routes import Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.core.errors import ForbiddenError
from dispatcher.services.environments import Environment
from dispatcher.services.inputs.base import ListQuery
from dispatcher.services.inputs.environment_inputs import (
    EnvironmentChanges,
    NewEnvironment,
)
from dispatcher.services.public_ids import no_environment

routes = Routes(Shape("environment"))


@routes.get("/api/environments", scope="admin", page=True, all_environments=True)
async def list_environments(call: Call, query: ListQuery) -> HandlerResult[tuple[Environment, ...]]:
    """List the environments that the token may use, newest first."""
    own_id = call.principal.environment_id
    if own_id is not None:
        return HandlerResult((await call.services.environments.get(own_id),), is_page=True)
    page = await call.services.environments.list(before=call.before, limit=page_limit(query))
    return page_result(page)


@routes.post(
    "/api/environments", scope="admin", status=201, transaction=True, all_environments=True
)
async def create_environment(call: Call, form: NewEnvironment) -> HandlerResult[Environment]:
    """Create an environment.

    Raise ForbiddenError for a token of one environment.
    """
    if call.principal.environment_id is not None:
        raise ForbiddenError(
            "The token belongs to one environment and cannot create others."
            " Use a token for all environments."
        )
    return HandlerResult(await call.services.environments.create(form), 201)


@routes.patch(
    "/api/environments/{environment_id}", scope="admin", transaction=True, all_environments=True
)
async def rename_environment(call: Call, form: EnvironmentChanges) -> HandlerResult[Environment]:
    """Rename an environment. Its id stays."""
    environment_id = call.path["environment_id"]
    if call.principal.environment_id not in (None, environment_id):
        raise no_environment(environment_id)
    return HandlerResult(await call.services.environments.rename(environment_id, form))
