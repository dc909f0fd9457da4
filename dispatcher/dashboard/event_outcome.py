"""Read how the deliveries of one event went, for its page and for the search."""

from dispatcher.dashboard.request import DashboardRequest
from dispatcher.services.deliveries.event_outcomes import EventOutcome
from dispatcher.services.deliveries.history_resources import Event


async def read(request: DashboardRequest, event: Event) -> EventOutcome:
    """Return how all deliveries of an event went. Ask the database if `event` lacks some."""
    if (outcome := event.count_deliveries()) is not None:
        return outcome
    outcomes = await request.services.event_outcomes.of(request.environment_id, [event.id])
    return outcomes[event.id]
