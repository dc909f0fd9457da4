"""The LISTEN connection: a wake-up when an event was committed. It carries nothing else.

A notification may be lost with the connection, so whoever waits looks for itself once a second,
and at once after every reconnection: LISTEN first, then look.
"""

import asyncio

from dispatcher.store.inbox import Inbox
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

CHANNEL = "dispatcher"
KEEPALIVE = 3.0
ANNOUNCED_MS = 10_000
"""Emitters notify until so long after the last keepalive: with no daemon left, they soon stop."""


class Listener:
    """`wake` is set by every notification. Give it a session of its own."""

    def __init__(self, session: Session, wake: asyncio.Event) -> None:
        self._session = session
        self._inbox = Inbox(session)
        self._wake = wake

    @property
    def listening(self) -> bool:
        return self._session.listening

    async def keep(self) -> float:
        """Listen if we do not, and make sure by a question that the connection lives.

        Returns the seconds to the next time. Raises StoreUnavailable or StatementTimeout.
        """
        new = await self._session.listen(CHANNEL, self._wake.set)
        await self._inbox.announce_listening(ANNOUNCED_MS)
        if new:
            observe.listening()
            self._wake.set()
        return KEEPALIVE
