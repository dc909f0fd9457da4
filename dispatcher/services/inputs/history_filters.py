"""Define the filters for deliveries and events."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from dispatcher.core.model import Status
from dispatcher.services.inputs.base import Form, Limit, Moment, Reference
from dispatcher.services.inputs.text_patterns import EVENT_NAME, RESPONSE_STATUS
from dispatcher.services.inputs.webhook_inputs import Pattern

ResponseStatus = Annotated[str, StringConstraints(pattern=RESPONSE_STATUS)]
ErrorKind = Literal[
    "http", "timeout", "dns", "connect", "tls", "reset", "protocol", "blocked", "authentication"
]
"""`http`, and the codes of `core.model.ErrorCode`."""


class DeliveryFilters(Form):
    """Filter deliveries. A delivery must match every given field."""

    status: Status | None = None
    event: Pattern | None = None
    """An event type, or `user.*` for all types below it."""
    since: Moment | None = None
    """Only deliveries that were made at this time or later."""
    until: Moment | None = None
    """Only deliveries that were made before this time."""
    response_status: ResponseStatus | None = None
    """The HTTP status of the last response, such as `503`, or `5xx` for all that begin with 5."""
    error_code: ErrorKind | None = None
    """Why the last attempt did not succeed: `http` if there was a response that is not 2xx."""
    reference: Reference | None = None
    """The reference that the producer gave to the event."""


class DeliveryQuery(DeliveryFilters):
    """Select a page of deliveries, newest first.

    A page can be short, or empty, and still have a next one: where few of many deliveries match.
    """

    cursor: str | None = None
    """Where to go on: the cursor from the previous page."""
    limit: Limit | None = None
    """The number of items on a page."""


class AllDeliveriesQuery(DeliveryQuery):
    """Select a page of the deliveries of all webhooks, newest first.

    A page can be short, or empty, and still have a next one: where few of many deliveries match.
    """

    webhook_id: Annotated[UUID, Field(strict=False)] | None = None
    """Only deliveries to this webhook."""


class EventFilters(Form):
    """Filter events. An event must match every given field."""

    id: Annotated[str, StringConstraints(pattern=EVENT_NAME)] | None = None
    type: Pattern | None = None
    """An event type, or `user.*` for all types below it."""
    since: Moment | None = None
    """Only events that were emitted at this time or later."""
    until: Moment | None = None
    """Only events that were emitted before this time."""
    reference: Reference | None = None
    """The reference that the producer gave to the event."""


class EventQuery(EventFilters):
    """Select a page of events, newest first.

    A page can be short, or empty, and still have a next one: where few of many events match.
    """

    outcome: bool = False
    """True to say for each event how its deliveries went."""
    cursor: str | None = None
    """Where to go on: the cursor from the previous page."""
    limit: Limit | None = None
    """The number of items on a page."""
