"""Handler of `/api/stats`: the backlog, and the results of recent attempts."""

from dispatcher.api.routes import Routes
from dispatcher.api.types import Call, HandlerResult, Shape
from dispatcher.core.errors import ForbiddenError
from dispatcher.services.backlog import Stats
from dispatcher.services.inputs.stats_inputs import StatsQuery

routes = Routes(Shape("stats", id="environment_id"))


@routes.get("/api/stats", scope="read")
async def get_stats(call: Call, query: StatsQuery) -> HandlerResult[Stats]:
    """Return the size and age of the backlog, and the attempts of the last hour.

    With `all`, return the figures of all environments together. Raise ForbiddenError if the token
    belongs to one environment.
    """
    if query.all and call.principal.environment_id is not None:
        raise ForbiddenError(
            "The token belongs to one environment and cannot read the figures of the others."
            " Use a token for all environments."
        )
    return HandlerResult(
        await call.services.backlogs.stats(None if query.all else call.environment_id)
    )
