"""Say in words which deliveries a bulk action concerns."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dispatcher.core import times

SELECTED: Final = "selected one by one"
"""The words for deliveries that were named by their ids."""
_START_TOLERANCE: Final = timedelta(seconds=2)
"""If `until` is at most this long before the start of the action, no end is named."""


@dataclass(frozen=True, slots=True)
class BulkSelection:
    """The filters of a bulk action. `webhook` is a name, or the id of a webhook without one."""

    status: str | None
    response_status: str | None
    error_code: str | None
    event: str | None
    reference: str | None
    webhook: str | None
    since: datetime | None
    until: datetime

    def words(self, started: datetime) -> str:
        """Return what the filters select, as in `failed, response 5xx, webhook Initech`.

        `started` is when the action started.
        """
        has_end = self.until < started - _START_TOLERANCE
        named = [
            ("", self.status and self.status.lower()),
            ("response ", self.response_status),
            ("error ", self.error_code),
            ("type ", self.event),
            ("reference ", self.reference),
            ("webhook ", self.webhook),
            ("made since ", self.since and times.exact(self.since)),
            ("made before ", times.exact(self.until) if has_end else None),
        ]
        return ", ".join(f"{label}{text}" for label, text in named if text) or "all deliveries"
