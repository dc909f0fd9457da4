"""The other daemons' heartbeats, as this one has seen them, timed by its own steady clock.

The database's clock may be set at any time, so the age of a row is no proof of silence. Each daemon
counts its renewals; silence is how long a count has not moved under the eyes of this daemon. The age
helps only where this daemon was not looking: before its first look, and between two looks, of which
it can say how far they were apart. Pure: times are arguments, in seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatcher.core.model import Heartbeat, Silent

STOPPED_SECONDS = 1.2
"""A daemon silent for so long has stopped sending: its last heartbeat entitled it for 1 s."""
LEASE_SECONDS = 10.0
"""A daemon silent for so long loses its shards although its session lives."""


@dataclass(slots=True)
class _Seen:
    renewals: int
    renewed_at: float


class Neighbours:
    """What is known of the other daemons on this database."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._looked_at = float("-inf")

    def look(self, heartbeats: Iterable[Heartbeat], now: float) -> None:
        """Take note of the heartbeats of all other daemons, read just before `now`."""
        gap = now - self._looked_at
        self._seen = {h.daemon: self._noted(h, gap, now) for h in heartbeats}
        self._looked_at = now

    def sending(self, now: float) -> int:
        """Return how many others may be sending."""
        return sum(now - seen.renewed_at < STOPPED_SECONDS for seen in self._seen.values())

    def silent(self, now: float) -> Sequence[Silent]:
        """Return those that have stopped sending."""
        return [
            Silent(daemon, seen.renewals, now - seen.renewed_at >= LEASE_SECONDS)
            for daemon, seen in self._seen.items()
            if now - seen.renewed_at >= STOPPED_SECONDS
        ]

    def next_change(self, now: float) -> float:
        """Return the seconds until one that stays silent may be taken for dead; infinity if none."""
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
        # It was renewed, or it joined, since the last look: not longer ago than that.
        silence = min(max(heartbeat.age, 0.0), gap)
        return _Seen(heartbeat.renewals, now - silence)
