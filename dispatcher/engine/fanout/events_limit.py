"""Decide how many events a statement looks at, by how many fitted into the ones before. Pure.

A statement looks up the endpoints of all types that it sees, and then takes as many events as make
few enough deliveries. With very many endpoints and types, most of these look-ups would be for
nothing, and would take so long that the statement times out.
"""

SPARE_FACTOR = 2
"""A statement looks at this many times the number of events that fitted into the one before."""
HELD_STATEMENTS = 16
"""Full statements after a timeout until more events are tried. Otherwise each third would time
out."""
LISTS_LIMIT = 1_000
"""Most lists of excluded environments whose limits are kept, so that memory stays small."""


class EventsLimit:
    """Most events of the next statement; it falls at once, and is doubled step by step."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.events = limit
        self._held = 0

    def note_result(self, events: int, seen: int, chosen: int) -> None:
        """Note that a statement for up to `events` events saw `seen` and had room for `chosen`."""
        if 0 < chosen < seen:
            self.events = min(self.events, SPARE_FACTOR * chosen)
        elif seen < events:
            return
        elif self._held:
            self._held -= 1
        elif chosen:
            self.events = min(self._limit, self.events * 2)

    def note_timeout(self, events: int) -> None:
        """Note that a statement for up to `events` events timed out because of their number."""
        self.events = max(1, min(self.events, events // 2))
        self._held = HELD_STATEMENTS


class EventsLimits:
    """A limit for each list of excluded environments: the events of others may be much smaller."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limits: dict[tuple[str, ...], EventsLimit] = {}

    def of(self, excluded_environments: tuple[str, ...]) -> EventsLimit:
        """Return the limit of statements that exclude these environments."""
        if excluded_environments not in self._limits:
            if len(self._limits) >= LISTS_LIMIT:
                self._limits.clear()
            self._limits[excluded_environments] = EventsLimit(self._limit)
        return self._limits[excluded_environments]
