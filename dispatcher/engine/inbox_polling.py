"""When to look into the inbox next, and whether to promise emitters that we will.

A notification makes commits queue for one lock, so a busy database is better polled: the daemon
promises to look by itself for a moment, emitters see the promise and do not notify. Pure.
"""

from collections import deque
from dataclasses import dataclass

WINDOW = 0.25
"""Seconds over which the rate of events is taken."""
BUSY = 40
"""Events in one window from which polling is the better way (160/s)."""
PROMISE_MS = 450
"""How long one promise lasts. A daemon killed inside it is silent for no longer."""
RENEW_BEFORE = 0.2
GRACE = 0.05
"""A transaction may read the promise just before its end and commit just after: poll beyond it."""
POLL = 0.005
POLL_WITH_BACKLOG = 0.02
"""With work waiting to be sent anyway, larger batches are worth more than fresher ones."""
BACKSTOP = 1.0
"""A notification can be lost; the inbox is looked at this often whatever happens."""
BACKSTOP_WITHOUT_NOTIFY = 0.2
"""Seconds between two looks of an idle daemon where emitters never notify."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Promise first if `renew`, then look again after `wait` seconds (or when notified)."""

    renew: bool
    wait: float


class Promise:
    """When to look next. `notified`: emitters notify an idle daemon."""

    def __init__(self, *, notified: bool = True) -> None:
        self._backstop = BACKSTOP if notified else BACKSTOP_WITHOUT_NOTIFY
        self._recent: deque[tuple[float, int]] = deque()
        self._until = 0.0

    def plan(self, now: float, picked: int, *, backlog: bool) -> Plan:
        """What to do after a look that took `picked` events out of the inbox, at steady time `now`."""
        self._recent.append((now, picked))
        while self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
        busy = sum(n for _, n in self._recent) >= BUSY
        wait = POLL_WITH_BACKLOG if backlog else POLL
        if busy:
            renew = self._until - now < RENEW_BEFORE
            if renew:
                self._until = now + PROMISE_MS / 1000
            return Plan(renew, wait)
        return Plan(False, wait if now < self._until + GRACE else self._backstop)
