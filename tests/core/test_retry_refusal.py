"""Which deliveries a person may retry."""

from typing import Any

import pytest

from dispatcher.core.retry_refusal import RETRYABLE_ATTEMPTS_LIMIT, retry_refusal

FINE: dict[str, Any] = {
    "is_ended": True,
    "attempts": RETRYABLE_ATTEMPTS_LIMIT - 1,
    "is_active": True,
    "is_deleted": False,
    "is_event_kept": True,
    "has_unapplied_notices": False,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"is_deleted": True, "is_active": False}, "deleted"),
        ({"is_active": False, "is_event_kept": False}, "disabled"),
        ({"is_event_kept": False, "attempts": RETRYABLE_ATTEMPTS_LIMIT}, "dropped"),
        ({"attempts": RETRYABLE_ATTEMPTS_LIMIT, "has_unapplied_notices": True}, "attempts"),
        ({"has_unapplied_notices": True}, "in_progress"),
        ({"has_unapplied_notices": True, "is_ended": False}, None),
    ],
)
def test_a_delivery_is_refused_for_the_first_reason(
    change: dict[str, Any], reason: str | None
) -> None:
    assert retry_refusal(**{**FINE, **change}) == reason
