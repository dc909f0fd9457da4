"""Group failed deliveries by cause: the webhook, and what was answered or why nothing was."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from dispatcher.core import ids
from dispatcher.services.deliveries import delivery_criteria
from dispatcher.services.inputs.history_filters import DeliveryFilters
from dispatcher.store.queries.delivery_search import CauseRow, DeliverySearch
from dispatcher.store.session import Queryable

FAILURES_LIMIT: Final = 1_000
"""Failures that are read, at most. For each it is looked up whether it was sent again."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Deliveries that failed for one cause.

    `outcome` and `status` are those of the last attempt. `status` is None without a response.
    `error` is that of the newest delivery, and `example` is its id. `first` and `last` are when the
    oldest and the newest delivery were made.
    """

    webhook_id: UUID
    outcome: str
    status: int | None
    deliveries: int
    first: datetime
    last: datetime
    error: str | None
    example: str

    @classmethod
    def from_row(cls, row: CauseRow) -> "Cause":
        """Return the cause of its row."""
        return cls(
            webhook_id=row["endpoint_id"],
            outcome=row["outcome"],
            status=row["status"],
            deliveries=row["deliveries"],
            first=ids.created_at(row["first_id"]),
            last=ids.created_at(row["last_id"]),
            error=row["error"],
            example=ids.delivery_name(row["last_id"]),
        )


@dataclass(frozen=True, slots=True)
class Causes:
    """The causes, most deliveries first.

    `looked_to` is the time down to which failures were read, None if there are no others.
    """

    items: tuple[Cause, ...]
    looked_to: datetime | None


class Failures:
    """Reads of failed deliveries. The methods raise StoreError and StatementTimeoutError."""

    def __init__(self, session: Queryable) -> None:
        self._search = DeliverySearch(session)

    async def causes(
        self, environment_id: str, filters: DeliveryFilters, webhook_id: UUID | None = None
    ) -> Causes:
        """Return the causes of the newest failed deliveries of a time range and a type."""
        criteria = delivery_criteria.of_deliveries(filters, webhook_id=webhook_id, before=None)
        read = await self._search.causes(environment_id, criteria, FAILURES_LIMIT)
        return Causes(
            tuple(map(Cause.from_row, read.causes)),
            None if read.looked_to is None else ids.created_at(read.looked_to),
        )
