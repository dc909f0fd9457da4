"""Say in words which deliveries a bulk action concerned, and lead to them. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from dispatcher.core import times
from dispatcher.services.deliveries.bulk_actions import BulkActionFilters

SELECTED: Final = "selected one by one"
_START_TOLERANCE: Final = timedelta(seconds=2)
"""An action that concerns all deliveries up to this time before its start has no end of its own."""


def words(
    filters: BulkActionFilters | None, webhook_names: Mapping[UUID, str], started: datetime
) -> str:
    """Return what the filter selects, as in `failed, response 5xx, webhook Initech`.

    `filters` is None for deliveries that were named one by one. A webhook without a name among
    `webhook_names` has its id.
    """
    if filters is None:
        return SELECTED
    webhook = filters.webhook_id
    named = [
        ("", filters.status and filters.status.lower()),
        ("response ", filters.response_status),
        ("error ", filters.error_code),
        ("type ", filters.event),
        ("reference ", filters.reference),
        ("webhook ", webhook and webhook_names.get(webhook, str(webhook))),
        ("made since ", filters.since and times.exact(filters.since)),
        ("made before ", _end(filters, started)),
    ]
    return ", ".join(f"{label}{text}" for label, text in named if text) or "all deliveries"


def query(filters: BulkActionFilters) -> dict[str, str]:
    """Return the query of the page that lists these deliveries, as they are now."""
    given = {
        "status": filters.status,
        "response_status": filters.response_status,
        "error_code": filters.error_code,
        "event": filters.event,
        "webhook": filters.webhook_id and str(filters.webhook_id),
        "reference": filters.reference,
        "since": filters.since and _typed(filters.since),
        "until": _typed(filters.until),
    }
    return {name: text for name, text in given.items() if text}


def _end(filters: BulkActionFilters, started: datetime) -> str | None:
    return times.exact(filters.until) if filters.until < started - _START_TOLERANCE else None


def _typed(at: datetime) -> str:
    """Return a time in UTC as a field of a form has it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
