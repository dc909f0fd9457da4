"""What may be asked for of deliveries and events."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from dispatcher.services.inputs.base import Form, Limit, Moment
from dispatcher.services.inputs.webhooks import Pattern

Status = Literal["PENDING", "DELIVERED", "FAILED", "CANCELLED"]


class DeliveryFilters(Form):
    """All of what is given must be true of a delivery."""

    status: Status | None = None
    event: Pattern | None = None
    """An event type, or `user.*` for all below."""
    since: Moment | None = None
    """Made at this time or later."""
    until: Moment | None = None
    """Made before this time."""


class DeliveryQuery(DeliveryFilters):
    """Newest first. A page can be short, or empty, and still have a next one: where few of many
    deliveries match."""

    cursor: str | None = None
    """Where to go on: from the page before."""
    limit: Limit | None = None
    """Items on a page."""


class EventFilters(Form):
    """All of what is given must be true of an event."""

    id: Annotated[str, StringConstraints(pattern=r"^evt_(0|[1-9][0-9]{0,18})$")] | None = None
    type: Pattern | None = None
    """An event type, or `user.*` for all below."""
    since: Moment | None = None
    """Emitted at this time or later."""
    until: Moment | None = None
    """Emitted before this time."""


class EventQuery(EventFilters):
    """Newest first. A page can be short, or empty, and still have a next one: where few of many
    events match."""

    cursor: str | None = None
    """Where to go on: from the page before."""
    limit: Limit | None = None
    """Items on a page."""
