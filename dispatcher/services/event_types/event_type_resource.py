"""Describe an event type of a catalogue, as people read it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dispatcher.core.model import RawJson
from dispatcher.store.queries.event_types import EventTypeRow

NO_TYPE: Final = 0
"""The revision of a type that is not in the catalogue."""


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type of a catalogue. `example` and `schema` are JSON."""

    name: str
    description: str
    example: RawJson | None
    schema: RawJson | None
    enforce: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: EventTypeRow) -> "EventType":
        """Return the event type of its row."""
        return cls(
            name=row["name"],
            description=row["description"],
            example=row["example"],
            schema=row["schema"],
            enforce=row["enforce"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )


def type_revision(updated_at: datetime) -> int:
    """Return the revision of a type that was last changed at this time.

    It differs after every change. The API does not show it, unlike that of a webhook.
    """
    return round(updated_at.timestamp() * 1_000_000)
