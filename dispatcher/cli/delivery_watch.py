"""Which deliveries have ended since one last looked: pure, for `dispatcher tail`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from dispatcher.client import Resource

OVERLAP = timedelta(seconds=5)
"""Deliveries made at one time become visible one after the other, but no further apart than this."""
GRACE = timedelta(seconds=1)
"""An attempt that is due takes a while."""
PENDING_MOST = 20_000

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Watch:
    """`since` is from when on to list deliveries, by the times that they were made. Those that are
    pending have an alarm each, for when they may have ended."""

    since: datetime = _BEGINNING
    _told: dict[str, datetime] = field(default_factory=dict)
    _pending: dict[str, datetime] = field(default_factory=dict)
    _alarms: list[tuple[datetime, str]] = field(default_factory=list)

    def see(self, items: Iterable[Resource], now: datetime) -> list[Resource]:
        """Those among them that have ended and were not told yet, by the time of their end."""
        ended = []
        for item in items:
            if item.status == "PENDING":
                self._await(item, now)
            elif item.id not in self._told:
                self._pending.pop(item.id, None)
                self._told[item.id] = _time(item.created_at)
                ended.append(item)
        return sorted(ended, key=lambda item: str(item.ended_at))

    def listed(self, items: Iterable[Resource]) -> None:
        """These are all there were since `since`: what is much older need not be listed again."""
        newest = max((_time(item.created_at) for item in items), default=_BEGINNING)
        self.since = max(self.since, newest - OVERLAP)
        self._told = {id_: at for id_, at in self._told.items() if at >= self.since}

    def due(self, now: datetime) -> list[str]:
        """Pending ones that are to be looked at one by one, for they are no longer listed."""
        ids = []
        while self._alarms and self._alarms[0][0] <= now:
            at, id_ = heappop(self._alarms)
            if self._pending.get(id_) == at:
                del self._pending[id_]
                ids.append(id_)
        return ids

    def _await(self, item: Resource, now: datetime) -> None:
        if item.id in self._pending or len(self._pending) >= PENDING_MOST:
            return
        next_ = now if item.next_retry_at is None else _time(item.next_retry_at)
        self._pending[item.id] = at = max(next_, now) + GRACE
        heappush(self._alarms, (at, item.id))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
