"""Handlers of `/api/pause` and `/api/resume`."""

from dispatcher.api.routes import Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.core.errors import ForbiddenError
from dispatcher.services.inputs.pause_inputs import PauseForm
from dispatcher.services.pauses import Pause
from dispatcher.services.propagation import wait_until_applied

routes = Routes(Shape("pause", id="environment_id"))


@routes.get("/api/pause", scope="read")
async def get_pause(call: Call) -> HandlerResult[Pause]:
    """Return whether sending is paused for the environment, or for all environments."""
    return HandlerResult(await call.services.pauses.get(call.environment_id))


@routes.post("/api/pause", scope="admin", transaction=True, waits=True)
async def pause(call: Call, form: PauseForm) -> HandlerResult[Pause]:
    """Pause sending. Events that are emitted during the pause are sent after it."""
    paused, version = await call.services.pauses.pause(_environment_id(call, form))
    return HandlerResult(paused, wait_until_applied=lambda pool: wait_until_applied(pool, version))


@routes.post("/api/resume", scope="admin", transaction=True)
async def resume(call: Call, form: PauseForm) -> HandlerResult[Pause]:
    """Resume sending. The answer is 409 if all environments are paused but not this one itself."""
    return HandlerResult(await call.services.pauses.resume(_environment_id(call, form)))


def _environment_id(call: Call, form: PauseForm) -> str | None:
    """Return the environment to pause or resume, None for all of them.

    Raise ForbiddenError if the body asks for all and the token belongs to one environment.
    """
    if not form.all:
        return call.environment_id
    if call.principal.environment_id is not None:
        raise ForbiddenError(
            "The token belongs to one environment and cannot pause or resume the others."
            " Use a token for all environments."
        )
    return None
