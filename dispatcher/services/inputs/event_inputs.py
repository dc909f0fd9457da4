"""Define the inputs for events."""

from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from dispatcher.core import event_patterns
from dispatcher.services.inputs.base import EventType, Form, Reference
from dispatcher.services.inputs.text_patterns import IDEMPOTENCY_KEY


def _not_reserved(type_: str) -> str:
    if event_patterns.is_reserved(type_):
        raise ValueError(f"{type_} is reserved to the dispatcher")
    return type_


def _fits(reference: str) -> str:
    if len(reference.encode()) > 255:
        raise ValueError("must be at most 255 bytes in UTF-8")
    return reference


class NewEvent(Form):
    """Emit an event to every webhook that subscribes to its type."""

    type: Annotated[EventType, AfterValidator(_not_reserved)]
    data: Any
    """Any JSON. Its text is delivered unchanged."""
    reference: Annotated[Reference, AfterValidator(_fits)] | None = None
    """The producer's name for what the event is about, such as `ord_894287`: for people who search.

    At most 255 bytes. It is not sent.
    """


class BatchEvent(NewEvent):
    """An event of a batch."""

    idempotency_key: Annotated[str, StringConstraints(pattern=IDEMPOTENCY_KEY)] | None = None
    """For a key that an earlier event has, the response has the id of that event, and nothing is
    emitted."""
