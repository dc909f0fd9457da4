"""Bound the TLS handshakes with one receiver at a time, shared out between environments."""

from dispatcher.shared_slots import SharedSlots

HANDSHAKES_LIMIT = 64
"""Most TLS connections to one origin that are made at a time: a large certificate takes 0.35 MiB
until it is judged, and when the first ones have failed, the others need not try."""
WAIT_SECONDS = 60.0
"""Longest wait for a slot. It is more than `connect_timeout` can be, which ends the wait before."""


def handshake_slots(waiting: int) -> SharedSlots:
    """Return the slots for one origin, for which at most `waiting` attempts wait."""
    return SharedSlots(
        HANDSHAKES_LIMIT,
        slots_of_one=HANDSHAKES_LIMIT,
        waiting=waiting,
        waiting_of_one=waiting,
        wait_seconds=WAIT_SECONDS,
    )
