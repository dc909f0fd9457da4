"""The phases of an attempt, as parts of a bar. Pure."""

from typing import Final, NamedTuple

from dispatcher.services.deliveries.history_resources import Attempt

BAR_WIDTH: Final = 1000
"""Width of the whole bar, in its own units."""


class Phase(NamedTuple):
    """A phase of an attempt: its key and its name, its duration in ms, and its place in the bar."""

    key: str
    name: str
    ms: int
    start: float
    width: float


def phases(attempt: Attempt) -> tuple[Phase, ...]:
    """Return the phases that happened, in their order. Return none if none was recorded.

    The first byte is waited for from when the connection is ready: writing the request is included.
    """
    recorded = [
        ("lookup", "Lookup", attempt.lookup_ms),
        ("connect", "Connect", attempt.connect_ms),
        ("tls", "TLS", attempt.tls_ms),
        ("first-byte", "First byte", attempt.first_byte_ms),
    ]
    happened = [(key, name, ms) for key, name, ms in recorded if ms is not None]
    if not happened:
        return ()
    known = sum(ms for _, _, ms in happened)
    # Each phase is rounded for itself, so their sum may be a little more than the duration.
    if attempt.duration_ms > known:
        happened.append(("rest", "Rest", attempt.duration_ms - known))
    total = max(1, attempt.duration_ms, known)
    parts: list[Phase] = []
    start = 0.0
    for key, name, ms in happened:
        width = round(BAR_WIDTH * ms / total, 1)
        parts.append(Phase(key, name, ms, round(start, 1), width))
        start += width
    return tuple(parts)
