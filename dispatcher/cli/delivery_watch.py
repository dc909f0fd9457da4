"""The deliveries that have ended, or were tried, since the last look, for `dispatcher tail`.

This module does no I/O.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from dispatcher.client import Resource

OVERLAP = timedelta(seconds=5)
"""Deliveries created at the same time become visible one after another, at most this far apart."""
GRACE = timedelta(seconds=1)
"""An attempt takes some time after it is due."""
RECHECK = timedelta(seconds=2)
"""A pending delivery is read again at the latest after this time.

A person may cancel it, or send it at once, long before its next attempt is due.
"""
RECHECKS_PER_SECOND = 20
"""With more pending deliveries than this rate allows within RECHECK, each is read less often."""
PENDING_LIMIT = 20_000
"""How many pending deliveries are watched at a time, so that they cannot fill the memory."""

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Watch:
    """The deliveries that were seen.

    `since` is the creation time from which to list deliveries. Each pending delivery has a time at
    which to look at it again.
    """

    since: datetime = _BEGINNING
    _returned: dict[str, datetime] = field(default_factory=dict)
    _pending: dict[str, datetime] = field(default_factory=dict)
    _alarms: list[tuple[datetime, str]] = field(default_factory=list)

    def ended_among(self, items: Iterable[Resource], now: datetime) -> list[Resource]:
        """Return the ended deliveries among `items` that were not returned before, by end time.

        One that was pending again since then is returned a second time.
        """
        ended = []
        for item in items:
            if item.status == "PENDING":
                self._returned.pop(item.id, None)  # it is sent again
                self._await(item, now)
            elif item.id not in self._returned:
                self._pending.pop(item.id, None)
                self._returned[item.id] = _time(item.created_at)
                ended.append(item)
        return sorted(ended, key=lambda item: str(item.ended_at))

    def note_listed(self, items: Iterable[Resource]) -> None:
        """Note that `items` are all deliveries since `since`, and move `since` forward."""
        newest = max((_time(item.created_at) for item in items), default=_BEGINNING)
        self.since = max(self.since, newest - OVERLAP)
        self._returned = {id_: at for id_, at in self._returned.items() if at >= self.since}

    def due(self, now: datetime) -> list[str]:
        """Return the ids of pending deliveries that may have ended.

        The caller looks them up one by one, because no listing contains them.
        """
        ids = []
        while self._alarms and self._alarms[0][0] <= now:
            at, id_ = heappop(self._alarms)
            if self._pending.get(id_) == at:
                del self._pending[id_]
                ids.append(id_)
        return ids

    def _await(self, item: Resource, now: datetime) -> None:
        if item.id in self._pending or len(self._pending) >= PENDING_LIMIT:
            return
        next_ = now if item.next_retry_at is None else _time(item.next_retry_at)
        seconds = len(self._pending) / RECHECKS_PER_SECOND
        latest = now + max(RECHECK, timedelta(seconds=seconds))
        self._pending[item.id] = at = min(max(next_, now) + GRACE, latest)
        heappush(self._alarms, (at, item.id))


@dataclass(slots=True)
class AttemptCounts:
    """How many attempts of each delivery were seen, of at most PENDING_LIMIT deliveries."""

    _seen: dict[str, int] = field(default_factory=dict)

    def first_new(self, item: Resource) -> int | None:
        """Note the attempts of a delivery.

        Return the number of the first new one, None for none.
        """
        seen = self._seen.pop(item.id, 0)
        self._seen[item.id] = max(seen, item.attempts)
        while len(self._seen) > PENDING_LIMIT:
            del self._seen[next(iter(self._seen))]
        return seen + 1 if item.attempts > seen else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
