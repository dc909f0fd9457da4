"""What may be asked of the catalogue of event types."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from dispatcher.core.model import RawJson
from dispatcher.schema_validation.validate import DEEPEST, LARGEST, depth
from dispatcher.services.inputs.base import (
    Description,
    EventType,
    Form,
    Limit,
)


def text(value: object) -> RawJson:
    """As JSON; a ValueError says why it can not be, or not here."""
    if depth(value) > DEEPEST:
        raise ValueError(f"must be at most {DEEPEST} levels deep")
    try:
        made = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(made.encode())
    except (TypeError, ValueError):
        raise ValueError("must be JSON, with finite numbers") from None
    if size > LARGEST:
        raise ValueError(f"must be at most {LARGEST} bytes")
    return RawJson(made)


def _moderate(value: Any) -> Any:
    text(value)
    return value


def _schema(value: Any) -> Any:
    if not isinstance(value, dict | bool | None):
        raise ValueError("must be an object, true, false or null")  # noqa: TRY004 - what pydantic takes
    return _moderate(value)


class EventTypeQuery(Form):
    """Without any of these, all are listed, or as many as one answer holds."""

    cursor: str | None = None
    limit: Limit | None = None


class EventTypePut(Form):
    """What is not mentioned stays as it is, or as it is by default."""

    # By alias alone: `schema_` is a name for Python, where a model has a method `schema`.
    model_config = ConfigDict(validate_by_name=False)

    description: Description = ""
    """What happened when such an event is emitted, for people."""
    example: Annotated[Any, AfterValidator(_moderate)] = None
    """Any JSON that could be the `data` of such an event; null: none."""
    schema_: Annotated[
        Any,
        AfterValidator(_schema),
        Field(alias="schema"),
        WithJsonSchema({"anyOf": [{"type": t} for t in ("object", "boolean", "null")]}),
    ] = None
    """A JSON Schema for `data`: draft 2020-12, or what its `$schema` names. References lead nowhere
    outside, and patterns have no lookaround. Null: none."""
    enforce: bool = False
    """Whether events whose data does not satisfy the schema are quarantined instead of sent."""


class EventTypeEntry(EventTypePut):
    """One type of a catalogue in a file."""

    name: EventType
    """Such as `user.created`."""
