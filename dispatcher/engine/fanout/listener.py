"""Keep the LISTEN connection, which wakes fan-out and schema check when the inbox has new rows.

It also wakes the loader when another daemon parked deliveries in a shard of this one. Nothing else
uses the connection. A notification may be lost with it, so the backstop looks for events once a
second, and the loader for parked deliveries. Both are also read at once after each reconnection:
first LISTEN, then read.
"""

from collections.abc import Callable

from dispatcher.store.queries.inbox import EVENTS_CHANNEL, PARKED_CHANNEL, Inbox
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

KEEPALIVE_SECONDS = 3.0
"""Seconds between two statements that test the connection."""
ANNOUNCED_MS = 10_000
"""Time after the last keepalive for which producers notify: none does when no daemon runs."""


class Listener:
    """The stage that listens, on its own session.

    `on_events` is called when the inbox has new rows, `on_parked` when a daemon parked deliveries.
    """

    def __init__(
        self, session: Session, *, on_events: Callable[[], None], on_parked: Callable[[], None]
    ) -> None:
        self._session = session
        self._inbox = Inbox(session)
        self._on_events = on_events
        self._on_parked = on_parked
        self._must_wake = False

    @property
    def is_listening(self) -> bool:
        return self._session.listens_to(EVENTS_CHANNEL)

    async def run_once(self) -> float:
        """Listen if the session does not yet, and announce it, so that producers notify.

        The announcement is a statement, and so tests the connection. Return the seconds to the
        next one. Raise StoreError or StatementTimeoutError.
        """
        await self._session.listen(PARKED_CHANNEL, self._on_parked)
        self._must_wake |= await self._session.listen(EVENTS_CHANNEL, self._on_events)
        await self._inbox.announce_listening(ANNOUNCED_MS)
        if self._must_wake:  # also if the first announcement failed
            self._must_wake = False
            observe.daemon.listening()
            self._on_events()
            self._on_parked()
        return KEEPALIVE_SECONDS
