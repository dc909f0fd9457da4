"""Decide when a flood waits in the inbox, because sending is behind and catches up. Pure.

The fan-out makes deliveries several times as fast as they can be sent. Without a pause it takes the
processors from sending during a burst, and makes deliveries that have no room in memory: they would
be parked, and read again.
"""

from dispatcher.engine.fanout.inbox_polling import POLL_SECONDS

BEHIND = 2_000
"""Deliveries to be sent from which on sending is behind. A busy daemon sends them in 0.1 s."""
CATCHING_UP_A_SECOND = 5_000
"""Sending that is slower waits for receivers, not for processors: a pause would not help it."""
TRIAL_SECONDS = 0.02
"""Time until a pause shows how fast sending is."""
PAUSE_SECONDS = 0.2
"""Longest pause, as other endpoints of the same environments wait too."""
LOOK_SECONDS = POLL_SECONDS
"""Time between two reads of the events of other environments during a pause."""


class Pacing:
    """The pauses of the fan-out. Times are in monotonic seconds."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._left = 0

    def is_paused(self, now: float, left: int) -> bool:
        """Return True if a flood is to wait; `left` deliveries in memory are still to be sent."""
        if left <= BEHIND:
            self._began_at = None
        elif self._began_at is None:
            self._began_at, self._left = now, left
        else:
            seconds = now - self._began_at
            is_catching_up = self._left - left >= CATCHING_UP_A_SECOND * seconds
            if seconds >= PAUSE_SECONDS or (seconds >= TRIAL_SECONDS and not is_catching_up):
                self._began_at = None
        return self._began_at is not None
