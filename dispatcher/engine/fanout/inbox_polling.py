"""Decide when to read the inbox next, and whether to open a polling window.

Notifications make commits queue for one lock. So a daemon polls the inbox while it is busy, and
announces this as a polling window in the database; during the window, producers do not notify.
Pure.
"""

from collections import deque
from dataclasses import dataclass

RATE_WINDOW_SECONDS = 0.25
"""Seconds over which the rate of events is measured."""
BUSY_EVENTS = 40
"""Polling starts at this many events in RATE_WINDOW_SECONDS (160 a second)."""
POLLING_WINDOW_MS = 450
"""Length of a polling window. If the daemon is killed in it, producers do not notify until it ends.
The backstop of another daemon finds the events of this time."""
RENEW_BEFORE_SECONDS = 0.2
"""A polling window is renewed if fewer seconds than this are left."""
GRACE_SECONDS = 0.05
"""Polling continues this long after the polling window. Otherwise a transaction that read the
window just before its end would commit without a notification or a poll."""
POLL_SECONDS = 0.005
"""Seconds between two reads while polling."""
RUSH_EVENTS = 500
"""Polls are rarer from this many events in RATE_WINDOW_SECONDS on (2,000 a second)."""
POLL_IN_RUSH_SECONDS = 0.01
"""Seconds between two reads in a rush: a read has a fixed cost, and takes that time from producers
on the same server."""
POLL_WITH_BACKLOG_SECONDS = 0.02
"""The same with a backlog: a read of more events is cheaper, and deliveries have to wait anyway."""
IDLE_SECONDS = 2.0
"""Seconds between two reads of an idle daemon, for late commits. The backstop finds other
events."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step of the fan-out.

    Renew the polling window if `must_renew`, then read again after `wait` seconds. A notification
    ends the wait early.
    """

    must_renew: bool
    wait: float


class PollingWindow:
    """The polling window of a daemon."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque()
        self._until = 0.0

    def plan(self, now: float, picked: int, *, backlog: bool) -> Plan:
        """Return the next step after a pass that took `picked` events from the inbox.

        `now` is in monotonic seconds; `backlog` is True if enough deliveries wait to be sent.
        """
        self._recent.append((now, picked))
        while self._recent[0][0] < now - RATE_WINDOW_SECONDS:
            self._recent.popleft()
        events = sum(events for _, events in self._recent)
        wait = POLL_IN_RUSH_SECONDS if events >= RUSH_EVENTS else POLL_SECONDS
        if backlog:
            wait = POLL_WITH_BACKLOG_SECONDS
        if events >= BUSY_EVENTS:
            must_renew = self._until - now < RENEW_BEFORE_SECONDS
            if must_renew:
                self._until = now + POLLING_WINDOW_MS / 1000
            return Plan(must_renew, wait)
        return Plan(False, wait if now < self._until + GRACE_SECONDS else IDLE_SECONDS)
