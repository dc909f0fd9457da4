"""Track the phases of a POST on a new connection, and tell how long each one took."""

from dispatcher.core.model import Timings


class Progress:
    """The times of one POST, in monotonic seconds, 0 if the phase did not happen.

    A POST on a kept connection has no lookup, no connect and no TLS phase.
    """

    __slots__ = ("connected_at", "looked_up_at", "secured_at", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.looked_up_at = 0.0
        self.connected_at = 0.0
        self.secured_at = 0.0

    def timings(self, first_byte_at: float) -> Timings:
        """Return the seconds of each phase, None for a phase that did not happen."""
        ready_at = self.secured_at or self.connected_at or self.started_at
        return Timings(
            _between(self.started_at, self.looked_up_at),
            _between(self.looked_up_at, self.connected_at),
            _between(self.connected_at, self.secured_at),
            _between(ready_at, first_byte_at),
        )


def _between(start: float, end: float) -> float | None:
    return end - start if start and end else None
