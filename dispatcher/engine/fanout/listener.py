"""Keep the LISTEN connection, which wakes the fan-out when an event was committed.

Nothing else uses the connection. A notification may be lost with it, so the fan-out also reads the
inbox once a second, and at once after each reconnection: first LISTEN, then read.
"""

import asyncio

from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

CHANNEL = "dispatcher"
KEEPALIVE_SECONDS = 3.0
"""Seconds between two statements that test the connection."""
ANNOUNCED_MS = 10_000
"""Emitters notify for so long after the last keepalive, so that they stop without a daemon."""


class Listener:
    """The stage that listens; each notification sets `wake`. It needs its own session."""

    def __init__(self, session: Session, wake: asyncio.Event) -> None:
        self._session = session
        self._inbox = Inbox(session)
        self._wake = wake

    @property
    def is_listening(self) -> bool:
        return self._session.listening

    async def run_once(self) -> float:
        """Listen if the session does not yet, and test the connection with a statement.

        Return the seconds to the next test. Raises StoreError or StatementTimeoutError.
        """
        is_new = await self._session.listen(CHANNEL, self._wake.set)
        await self._inbox.announce_listening(ANNOUNCED_MS)
        if is_new:
            observe.daemon.listening()
            self._wake.set()
        return KEEPALIVE_SECONDS
