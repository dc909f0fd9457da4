"""Say how the deliveries of one event went, for its page and for the search."""

from collections import Counter

from dispatcher.dashboard.request import DashboardRequest
from dispatcher.services.deliveries.event_outcomes import EventOutcome
from dispatcher.services.deliveries.history_resources import DeliveryItem, Event


async def read(request: DashboardRequest, event: Event) -> EventOutcome:
    """Return how all deliveries of an event went. Ask the database if the event has not all."""
    if not event.more_deliveries:
        return of_all(event)
    outcomes = await request.services.event_outcomes.of(request.environment_id, [event.id])
    return outcomes[event.id]


def of_all(event: Event) -> EventOutcome:
    """Return how the deliveries of an event went that has all of them, newest first."""
    ways = Counter(map(_way, event.deliveries))
    failed = (delivery.id for delivery in event.deliveries if delivery.status == "FAILED")
    return EventOutcome(
        place=event.waiting,
        delivered=ways["delivered"],
        failed=ways["failed"],
        cancelled=ways["cancelled"],
        retrying=ways["retrying"],
        waiting=ways["waiting"],
        failed_delivery_id=next(failed, None),
        is_partial=False,
        is_kept=True,
    )


def _way(delivery: DeliveryItem) -> str:
    if delivery.status == "PENDING":
        return "retrying" if delivery.attempts else "waiting"
    return delivery.status.lower()
