"""Track the heartbeats of the other daemons, timed by this daemon's own monotonic clock.

The database's clock may be set at any time, so the age of a heartbeat row does not prove silence.
Each daemon counts its renewals. A daemon is silent for as long as its count has not changed between
two reads of this daemon. The age of the row is used only for the time before the first read, and
between two reads. Pure: times are arguments, in seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatcher.core.model import Heartbeat, Silent

STOPPED_SECONDS = 1.2
"""A daemon silent for so long has stopped sending: a heartbeat permits sends for 1 s only."""
LEASE_SECONDS = 10.0
"""A daemon silent for so long loses its shards, even if its database session still exists."""


@dataclass(slots=True)
class _Seen:
    renewals: int
    renewed_at: float


class Neighbours:
    """The heartbeats of the other daemons on this database."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._looked_at = float("-inf")

    def look(self, heartbeats: Iterable[Heartbeat], now: float) -> None:
        """Note the heartbeats of all other daemons, which were read just before `now`."""
        gap = now - self._looked_at
        self._seen = {h.daemon: self._noted(h, gap, now) for h in heartbeats}
        self._looked_at = now

    def sending(self, now: float) -> int:
        """Return how many other daemons may be sending."""
        return sum(now - seen.renewed_at < STOPPED_SECONDS for seen in self._seen.values())

    def silent(self, now: float) -> Sequence[Silent]:
        """Return the daemons that have been silent for STOPPED_SECONDS or longer."""
        return [
            Silent(daemon, seen.renewals, now - seen.renewed_at >= LEASE_SECONDS)
            for daemon, seen in self._seen.items()
            if now - seen.renewed_at >= STOPPED_SECONDS
        ]

    def next_change(self, now: float) -> float:
        """Return the seconds until a silent daemon reaches its next limit; infinity if none."""
        return min(
            (
                seen.renewed_at + limit - now
                for seen in self._seen.values()
                for limit in (STOPPED_SECONDS, LEASE_SECONDS)
                if seen.renewed_at + limit > now
            ),
            default=float("inf"),
        )

    def _noted(self, heartbeat: Heartbeat, gap: float, now: float) -> _Seen:
        seen = self._seen.get(heartbeat.daemon)
        if seen is not None and seen.renewals == heartbeat.renewals:
            return seen
        # It renewed or joined after the last read, so its silence is at most `gap`.
        silence = min(max(heartbeat.age, 0.0), gap)
        return _Seen(heartbeat.renewals, now - silence)
