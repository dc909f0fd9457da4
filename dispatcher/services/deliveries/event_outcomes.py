"""Say for each event of a list how its deliveries went."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from dispatcher.core import ids
from dispatcher.store.queries import event_outcomes as stored
from dispatcher.store.queries.event_outcomes import EventOutcomeRow
from dispatcher.store.queries.history import Place
from dispatcher.store.session import Queryable

OUTCOME_COUNT_LIMIT: Final = 100_000
"""Rows of one event that are counted, of each kind: pending deliveries, and ends of deliveries.

An event has one delivery for each webhook, thousands at most. A delivery that was sent again has
several ends. The limit is meant to be above these numbers. Otherwise a failure could be left out.
"""


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """How the deliveries of an event went, or where it waits for its fan-out.

    `retrying` counts pending deliveries that were tried before, `waiting` the other pending ones.
    `failed_delivery_id` is the newest delivery that failed. `is_partial` is true if not all
    deliveries were counted: at most 100,000 pending ones and 100,000 ends are, and a delivery that
    was sent again has several ends. `is_kept` is false if the event is so old that its attempts may
    have been deleted.
    """

    place: Place | None
    delivered: int
    failed: int
    cancelled: int
    retrying: int
    waiting: int
    failed_delivery_id: str | None
    is_partial: bool
    is_kept: bool

    @classmethod
    def from_row(cls, row: EventOutcomeRow) -> "EventOutcome":
        """Return the outcome of its row."""
        failed = row["failed_id"]
        return cls(
            place=row["place"],
            delivered=row["delivered"],
            failed=row["failed"],
            cancelled=row["cancelled"],
            retrying=row["retrying"],
            waiting=row["waiting"],
            failed_delivery_id=None if failed is None else ids.delivery_name(failed),
            is_partial=row["is_partial"],
            is_kept=row["kept_from"] is None or row["id"] >= row["kept_from"],
        )

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """Return each way in which deliveries went with its number, without those of none."""
        named = {
            "delivered": self.delivered,
            "failed": self.failed,
            "retrying": self.retrying,
            "waiting": self.waiting,
            "cancelled": self.cancelled,
        }
        return tuple((word, number) for word, number in named.items() if number)


class EventOutcomes:
    """The outcomes of events. The methods raise StoreError and StatementTimeoutError."""

    def __init__(self, session: Queryable) -> None:
        self._stored = stored.EventOutcomes(session)

    async def of(
        self, environment_id: str, event_names: Collection[str]
    ) -> Mapping[str, EventOutcome]:
        """Return the outcome by the id of the event (`evt_…`)."""
        if not event_names:
            return {}
        numbers = {ids.parse(ids.EVENT_PREFIX, name): name for name in event_names}
        rows = await self._stored.of_events(environment_id, list(numbers), OUTCOME_COUNT_LIMIT)
        return {numbers[row["id"]]: EventOutcome.from_row(row) for row in rows}
