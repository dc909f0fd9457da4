"""Compare an event type as it was read with the type that a request asks for. Do no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dispatcher.core import event_patterns
from dispatcher.core.errors import InvalidError
from dispatcher.services.inputs.event_type_inputs import EventTypePut, text
from dispatcher.store.queries.event_types import EventTypeRow

NEW: Final[Mapping[str, Any]] = {
    "description": "",
    "example": None,
    "schema": None,
    "enforce": False,
}
"""The columns of a type that people change, with their defaults."""


@dataclass(frozen=True, slots=True)
class EventTypeChange:
    """A type as it was read, and as it is to be written. `before` is None for a new type."""

    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]

    @property
    def is_needed(self) -> bool:
        """Return True if the type is new or changed."""
        return self.before != self.after

    @classmethod
    def of(cls, name: str, row: EventTypeRow | None, form: EventTypePut) -> "EventTypeChange":
        """Return the change that `form` asks for. `row` is None for a new type."""
        before = columns_of(row)
        return cls(name, before, _merge(before or NEW, form))

    def check_enforcing(self) -> None:
        """Raise InvalidError if the schema is to be enforced and cannot be."""
        if not self.after["enforce"]:
            return
        if self.after["schema"] is None:
            raise InvalidError.field("enforce", "there is no schema to enforce")
        if event_patterns.is_reserved(self.name):
            raise InvalidError.field(
                "enforce", f"{self.name} is the dispatcher's own: its events have no schema check"
            )


def columns_of(row: EventTypeRow | None) -> dict[str, Any] | None:
    """Return the editable columns of a type, or None if there is none."""
    return None if row is None else {key: value for key, value in row.items() if key in NEW}


def _merge(before: Mapping[str, Any], form: EventTypePut) -> dict[str, Any]:
    fields = form.given()
    if "schema_" in fields:
        fields["schema"] = fields.pop("schema_")
    for key in ("example", "schema"):
        if fields.get(key) is not None:
            fields[key] = text(fields[key])
    return {key: fields.get(key, before[key]) for key in NEW}
