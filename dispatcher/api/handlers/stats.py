"""Handler of `/api/stats`: the backlog, and the results of recent attempts."""

from dispatcher.api.routes import Route
from dispatcher.api.types import Answer, Call, Shape
from dispatcher.core.errors import ForbiddenError
from dispatcher.services.backlog import Stats
from dispatcher.services.inputs.stats import StatsQuery

STATS = Shape("stats", id="environment_id")


async def stats(call: Call) -> Answer:
    """Return the figures of one environment, or of all environments together with `all`.

    Raise ForbiddenError if `all` is asked for with a token of one environment.
    """
    query: StatsQuery = call.query
    if query.all and call.principal.environment_id is not None:
        raise ForbiddenError("a token of one environment cannot read the figures of the others")
    of = None if query.all else call.environment_id
    return Answer(await call.services.backlogs.stats(of))


ROUTES = (
    Route(
        method="GET",
        path="/api/stats",
        name="get_stats",
        summary="How much waits to be sent, for how long, and what the last hour brought",
        scope="read",
        handle=stats,
        shape=STATS,
        answers=Stats,
        query=StatsQuery,
    ),
)
