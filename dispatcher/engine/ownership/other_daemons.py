"""Track the heartbeats of the other daemons, timed by this daemon's own monotonic clock.

The database's clock may be set at any time, so the age of a heartbeat row does not prove silence.
Each daemon counts its renewals. Another daemon is silent while this one reads the same count. The
age of the row is used only for the time before this daemon first read that count. Pure: times are
arguments, in seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatcher.core.heartbeats import LEASE_SECONDS, STOPPED_SECONDS
from dispatcher.core.model import Heartbeat, SilentDaemon


@dataclass(frozen=True, slots=True)
class _Renewals:
    count: int
    renewed_at: float
    is_draining: bool


class OtherDaemons:
    """The heartbeats of the other daemons on this database."""

    def __init__(self) -> None:
        self._known: dict[int, _Renewals] = {}
        self._noted_at = float("-inf")

    def note_heartbeats(self, heartbeats: Iterable[Heartbeat], now: float) -> None:
        """Note the heartbeats of all other daemons, which were read just before `now`."""
        gap = now - self._noted_at
        self._known = {h.daemon: self._renewals(h, gap, now) for h in heartbeats}
        self._noted_at = now

    def count_sending(self, now: float) -> int:
        """Return how many other daemons may be sending."""
        return sum(now - known.renewed_at < STOPPED_SECONDS for known in self._known.values())

    def count_sharing(self, now: float) -> int:
        """Return how many other daemons share the shards: they may be sending and do not drain."""
        return sum(
            now - known.renewed_at < STOPPED_SECONDS and not known.is_draining
            for known in self._known.values()
        )

    def silent(self, now: float) -> Sequence[SilentDaemon]:
        """Return the daemons that have been silent for STOPPED_SECONDS or longer."""
        return [
            SilentDaemon(daemon, known.count, now - known.renewed_at >= LEASE_SECONDS)
            for daemon, known in self._known.items()
            if now - known.renewed_at >= STOPPED_SECONDS
        ]

    def next_change(self, now: float) -> float:
        """Return the seconds until a silent daemon reaches its next limit; infinity if none."""
        return min(
            (
                known.renewed_at + limit - now
                for known in self._known.values()
                for limit in (STOPPED_SECONDS, LEASE_SECONDS)
                if known.renewed_at + limit > now
            ),
            default=float("inf"),
        )

    def _renewals(self, heartbeat: Heartbeat, gap: float, now: float) -> _Renewals:
        known = self._known.get(heartbeat.daemon)
        if known is not None and known.count == heartbeat.renewals:
            return known
        # It renewed or joined after the last read, so its silence is at most `gap`.
        silence = min(max(heartbeat.age, 0.0), gap)
        return _Renewals(heartbeat.renewals, now - silence, heartbeat.is_draining)
