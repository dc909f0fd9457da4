"""The filter of a bulk action in words, and as the query of a page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from dispatcher.dashboard.words.bulk_action_words import query, words
from dispatcher.services.deliveries.bulk_actions import BulkActionFilters

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
WEBHOOK = UUID("00000000-0000-4000-8000-000000000001")
ALL = BulkActionFilters(None, None, None, NOW, None, None, None, None)


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        (None, "selected one by one"),
        (ALL, "all deliveries"),
        (replace(ALL, status="FAILED", webhook_id=WEBHOOK), "failed, webhook Initech"),
        (replace(ALL, webhook_id=UUID(int=7)), f"webhook {UUID(int=7)}"),
        (
            replace(ALL, response_status="5xx", error_code="http", event="user.*", reference="o_1"),
            "response 5xx, error http, type user.*, reference o_1",
        ),
        (
            replace(ALL, since=NOW - timedelta(hours=2), until=NOW - timedelta(hours=1)),
            "made since 2026-11-29 10:00:00 UTC, made before 2026-11-29 11:00:00 UTC",
        ),
    ],
)
def test_a_filter_is_said_in_words(filters: BulkActionFilters | None, text: str) -> None:
    assert words(filters, {WEBHOOK: "Initech"}, NOW) == text


def test_the_query_lists_the_same_deliveries() -> None:
    assert query(replace(ALL, status="FAILED", webhook_id=WEBHOOK, since=NOW)) == {
        "status": "FAILED",
        "webhook": str(WEBHOOK),
        "since": "2026-11-29T12:00:00.000",
        "until": "2026-11-29T12:00:00.000",
    }
