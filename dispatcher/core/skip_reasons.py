"""Say in words what a bulk action left as it was, and why."""

from collections.abc import Mapping
from typing import Final

_REASONS: Final[Mapping[str, str]] = {
    "changed": "the status had changed",
    "deleted": "the webhook was deleted",
    "disabled": "the webhook is disabled",
    "dropped": "the event is no longer kept",
    "attempts": "there were too many attempts",
    "in_progress": "an attempt may be in progress",
}
"""The reasons of `RetryRefusal`, and `changed`."""


def skip_reason(name: str) -> str:
    """Return why deliveries were left as they are, as in `the webhook is disabled`.

    `name` is a reason of `skipped`. One of a newer version is returned as it is.
    """
    return _REASONS.get(name, name)


def left(name: str, number: int) -> str:
    """Return how many were left and why, as in `2 left as they are: the webhook was deleted`."""
    as_is = "as it is" if number == 1 else "as they are"
    return f"{number:,} left {as_is}: {skip_reason(name)}"
