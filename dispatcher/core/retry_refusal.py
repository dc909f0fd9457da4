"""Decide whether a person may retry a delivery. Pure."""

from typing import Final, Literal

RETRYABLE_ATTEMPTS_LIMIT: Final = 30_000
"""A person cannot retry a delivery with this many attempts or more.

Otherwise a script could retry a failing delivery every second without end. `replayable()` in the
database has the same number.
"""

RetryRefusal = Literal["deleted", "disabled", "dropped", "attempts", "in_progress"]
"""Why a delivery cannot be retried.

Its endpoint is `deleted` or `disabled`, its event is `dropped` by retention, it had too many
`attempts`, or one may be `in_progress`.
"""


def retry_refusal(
    *,
    is_ended: bool,
    attempts: int,
    is_active: bool,
    is_deleted: bool,
    is_event_kept: bool,
    has_unapplied_notices: bool,
) -> RetryRefusal | None:
    """Return why a delivery cannot be retried, or None if it can.

    `is_active` and `is_deleted` are about its endpoint. With unapplied notices, a daemon may still
    hold the delivery as it was before a change. Then two attempts at an ended one could run at the
    same time.
    """
    if is_deleted:
        return "deleted"
    if not is_active:
        return "disabled"
    if not is_event_kept:
        return "dropped"
    if attempts >= RETRYABLE_ATTEMPTS_LIMIT:
        return "attempts"
    return "in_progress" if is_ended and has_unapplied_notices else None
