"""Moments in words."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dispatcher.core.times import exact


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 2, 26, 12, 0, 0, 999_999, tzinfo=UTC), "2026-02-26 12:00:00 UTC"),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), "2025-12-31 23:00:00 UTC"),
    ],
)
def test_a_time_is_said_in_utc_to_the_second(at: datetime, text: str) -> None:
    assert exact(at) == text
