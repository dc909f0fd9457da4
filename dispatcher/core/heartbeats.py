"""The times that decide, by the age of its last heartbeat, what a daemon may do or has lost."""

from typing import Final

VALID_SECONDS: Final = 1.0
"""Seconds within which a send may start, from when the last answered heartbeat was sent."""
STOPPED_SECONDS: Final = 1.2
"""Silence after which a daemon has stopped sending: a heartbeat permits sends for 1 s only."""
LEASE_SECONDS: Final = 10.0
"""Silence after which a daemon loses its shards, even if its database session still exists."""
