"""Say in words which deliveries a bulk action concerned, and lead to them. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from dispatcher.core.bulk_selection import SELECTED, BulkSelection
from dispatcher.services.deliveries.bulk_actions import BulkActionFilters


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
    return BulkSelection(
        status=filters.status,
        response_status=filters.response_status,
        error_code=filters.error_code,
        event=filters.event,
        reference=filters.reference,
        webhook=webhook_names.get(webhook, str(webhook)) if webhook else None,
        since=filters.since,
        until=filters.until,
    ).words(started)


def query(filters: BulkActionFilters) -> dict[str, str]:
    """Return the query of the page that lists these deliveries, as they are now."""
    fields = {
        "status": filters.status,
        "response_status": filters.response_status,
        "error_code": filters.error_code,
        "event": filters.event,
        "webhook": filters.webhook_id and str(filters.webhook_id),
        "reference": filters.reference,
        "since": filters.since and _typed(filters.since),
        "until": _typed(filters.until),
    }
    return {name: text for name, text in fields.items() if text}


def _typed(at: datetime) -> str:
    """Return a time in UTC as a field of a form has it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
