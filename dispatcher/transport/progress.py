"""Track the progress of one POST: its phases, their times, its connection and its answer."""

from time import monotonic

from dispatcher.core.model import Timings
from dispatcher.transport.answer import Answer
from dispatcher.transport.exchange import Connection


class Progress:
    """The progress of one POST; times are in monotonic seconds, 0 if the phase did not happen.

    A POST on a kept connection has no lookup, no connect and no TLS phase.
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
        """Return True if there is a status, which decides the outcome."""
        return self.answer is not None and self.answer.status > 0

    @property
    def phase(self) -> str:
        """Return the phase that a request without an answer has reached."""
        if self.connection is None:
            return "connect"
        return "send" if self.is_unsent else "head"

    def give_up(self) -> None:
        """Close the connection, and note whether all of the request was sent."""
        if self.connection is not None:
            self.is_unsent = self.connection.is_unsent
            self.connection.abort()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return monotonic() - self.started_at

    def timings(self) -> Timings:
        """Return the seconds of each phase, None for a phase that did not happen."""
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
