"""One POST: how far it has come, when, on which connection, and what was answered."""

from time import monotonic

from dispatcher.core.model import Timings
from dispatcher.transport.answer import Answer
from dispatcher.transport.exchange import Connection


class Progress:
    """Moments on the monotonic clock; 0 for what did not happen.

    On a kept connection there is neither lookup nor connection nor TLS.
    """

    __slots__ = (
        "answer",
        "connected_at",
        "connection",
        "is_unsent",
        "looked_up_at",
        "secured_at",
        "started_at",
    )

    def __init__(self) -> None:
        self.started_at = monotonic()
        self.looked_up_at = 0.0
        self.connected_at = 0.0
        self.secured_at = 0.0
        self.connection: Connection | None = None
        self.answer: Answer | None = None
        self.is_unsent = False

    @property
    def has_status(self) -> bool:
        """Return True if the outcome is decided."""
        return self.answer is not None and self.answer.status > 0

    @property
    def phase(self) -> str:
        """Return how far a request without an answer came."""
        if self.connection is None:
            return "connect"
        return "send" if self.is_unsent else "head"

    def give_up(self) -> None:
        """Close the connection, for there is no more to learn on it."""
        if self.connection is not None:
            self.is_unsent = self.connection.is_unsent
            self.connection.abort()

    def elapsed(self) -> float:
        return monotonic() - self.started_at

    def timings(self) -> Timings:
        """Return the seconds that each phase took."""
        if not self.looked_up_at and self.connection is not None:
            first = self.connection.first_byte_at
            return Timings(None, None, None, first - self.started_at if first else None)
        first_byte_at = self.connection.first_byte_at if self.connection else 0.0
        return Timings(
            _between(self.started_at, self.looked_up_at),
            _between(self.looked_up_at, self.connected_at),
            _between(self.connected_at, self.secured_at),
            _between(self.secured_at or self.connected_at or self.started_at, first_byte_at),
        )


def _between(start: float, end: float) -> float | None:
    return end - start if start and end else None
