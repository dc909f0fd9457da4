"""Define the filters for deliveries and events."""

from typing import Annotated

from pydantic import StringConstraints

from dispatcher.core.model import Status
from dispatcher.services.inputs.base import Form, Limit, Moment
from dispatcher.services.inputs.webhook_inputs import Pattern


class DeliveryFilters(Form):
    """Filter deliveries. A delivery must match every given field."""

    status: Status | None = None
    event: Pattern | None = None
    """An event type, or `user.*` for all types below it."""
    since: Moment | None = None
    """Only deliveries that were made at this time or later."""
    until: Moment | None = None
    """Only deliveries that were made before this time."""


class DeliveryQuery(DeliveryFilters):
    """Select a page of deliveries, newest first.

    A page can be short, or empty, and still have a next one: where few of many deliveries match.
    """

    cursor: str | None = None
    """Where to go on: the cursor from the previous page."""
    limit: Limit | None = None
    """The number of items on a page."""


class EventFilters(Form):
    """Filter events. An event must match every given field."""

    id: Annotated[str, StringConstraints(pattern=r"^evt_(0|[1-9][0-9]{0,18})$")] | None = None
    type: Pattern | None = None
    """An event type, or `user.*` for all types below it."""
    since: Moment | None = None
    """Only events that were emitted at this time or later."""
    until: Moment | None = None
    """Only events that were emitted before this time."""


class EventQuery(EventFilters):
    """Select a page of events, newest first.

    A page can be short, or empty, and still have a next one: where few of many events match.
    """

    cursor: str | None = None
    """Where to go on: the cursor from the previous page."""
    limit: Limit | None = None
    """The number of items on a page."""
