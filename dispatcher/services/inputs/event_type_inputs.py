"""Define the inputs for the catalogue of event types."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from dispatcher.core.model import RawJson
from dispatcher.schema_validation.validate import NESTING_LIMIT, SCHEMA_LIMIT_BYTES, depth
from dispatcher.services.inputs.base import (
    Description,
    EventType,
    Form,
    Limit,
)


def text(value: object) -> RawJson:
    """Return a value as JSON text. Raise ValueError if it is no JSON, too deep or too large."""
    if depth(value) > NESTING_LIMIT:
        raise ValueError(f"must be at most {NESTING_LIMIT} levels deep")
    try:
        made = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(made.encode())
    except (TypeError, ValueError):
        raise ValueError("must be JSON, with finite numbers") from None
    if size > SCHEMA_LIMIT_BYTES:
        raise ValueError(f"must be at most {SCHEMA_LIMIT_BYTES} bytes")
    return RawJson(made)


def _moderate(value: object) -> object:
    text(value)
    return value


def _schema(value: object) -> object:
    if not isinstance(value, dict | bool | None):
        raise ValueError("must be an object, true, false or null")  # noqa: TRY004 - what pydantic takes
    return _moderate(value)


class EventTypeQuery(Form):
    """Select a page of event types. Without a field, list as many as one response holds."""

    cursor: str | None = None
    limit: Limit | None = None


class EventTypePut(Form):
    """Create or change an event type.

    A missing field keeps its value. In a new type it has its default.
    """

    # Read this field by its alias only. `schema_` avoids a clash with the model's method `schema`.
    model_config = ConfigDict(validate_by_name=False)

    description: Description = ""
    """What the event means, for people."""
    example: Annotated[Any, AfterValidator(_moderate)] = None
    """Any JSON that could be the `data` of such an event, or null for none."""
    schema_: Annotated[
        Any,
        AfterValidator(_schema),
        Field(alias="schema"),
        WithJsonSchema({"anyOf": [{"type": t} for t in ("object", "boolean", "null")]}),
    ] = None
    """A JSON Schema for `data`, or null for none.

    The draft is 2020-12, or the one that `$schema` names. References must not lead outside the
    schema, and patterns must not use lookaround.
    """
    enforce: bool = False
    """Whether to quarantine events whose data does not satisfy the schema, instead of sending them.
    """


class EventTypeEntry(EventTypePut):
    """Describe one type of a catalogue in a file."""

    name: EventType
    """The name of the type, such as `user.created`."""
