"""Describe an event type of a catalogue, as people read it."""

from dataclasses import dataclass
from datetime import datetime

from dispatcher.core.model import RawJson
from dispatcher.store.queries.event_types import EventTypeRow


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
