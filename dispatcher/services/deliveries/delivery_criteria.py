"""Translate the filters that people give into those of the store."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from dispatcher.core import ids
from dispatcher.services.inputs.history_filters import DeliveryFilters
from dispatcher.store.queries.history import HistoryFilter


def of_deliveries(
    filters: DeliveryFilters, *, webhook_id: UUID | None, before: int | None
) -> HistoryFilter:
    """Return the store's filter for deliveries of one webhook, or of all for None."""
    first, last = _codes(filters.response_status)
    return replace(
        of_ids(filters.since, filters.until, filters.event, before),
        status=filters.status,
        code_from=first,
        code_to=last,
        outcome=filters.error_code,
        endpoint_id=webhook_id,
        reference=filters.reference,
    )


def of_ids(
    since: datetime | None, until: datetime | None, pattern: str | None, before: int | None
) -> HistoryFilter:
    """Return the store's filter for a time range, a type, and ids below `before`.

    Unlike in a subscription, the patterns `endpoint.*` and `*` match reserved types too.
    """
    ends = [ids.LARGEST_ID] if until is None else [ids.LARGEST_ID, ids.first_since(until)]
    return HistoryFilter(
        low=0 if since is None else ids.first_since(since),
        high=min(ends if before is None else [*ends, before]),
        type=None if pattern == "*" else pattern,
        prefix=pattern[:-1] if pattern is not None and pattern.endswith(".*") else None,
    )


def code_pattern(first: int | None, last: int | None) -> str | None:
    """Return `503` or `5xx` for the first and the last status."""
    if first is None:
        return None
    return str(first) if first == last else f"{first // 100}xx"


def _codes(text: str | None) -> tuple[int | None, int | None]:
    """Return the first and the last status of `503` or `5xx`."""
    if text is None:
        return None, None
    return int(text.replace("x", "0")), int(text.replace("x", "9"))
