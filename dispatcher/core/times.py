"""Say moments in words."""

from datetime import UTC, datetime


def exact(at: datetime) -> str:
    """Return a time in UTC to the second, as in `2026-02-26 12:00:00 UTC`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
