"""The places of requests under way, of which no environment takes the last ones from the others.

Endpoints that answered quickly until now may all fall silent at once, and hold their places until
the attempts time out. So the fewer places are free, the fewer an environment may hold: those that
are free at any time are for the environments that hold few. Pure.
"""

from collections import Counter

SHARE = 7
"""An environment may hold so many places for each free one: alone 7 of 8, each of two 7 of 15."""


class Slots:
    """`limit` places. An environment that is alone, by its lanes, may take all of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()
        self._total = 0
        self._queues: Counter[str] = Counter()

    def open_lane(self, environment_id: str) -> None:
        """Count a lane of an environment."""
        self._queues[environment_id] += 1

    def close_lane(self, environment_id: str) -> None:
        """Count a lane less."""
        _subtract(self._queues, environment_id)

    def take(self, environment_id: str) -> None:
        """Count a place as held."""
        self._held[environment_id] += 1
        self._total += 1

    def give_back(self, environment_id: str) -> None:
        """Count a place as free again."""
        _subtract(self._held, environment_id)
        self._total -= 1

    def has_share(self, environment_id: str) -> bool:
        """Return True if an environment holds as many places as it may."""
        if len(self._queues) < 2:
            return False
        # At least one: an ordered queue holds its place for longer than its request is under way.
        free = max(1, self._limit - self._total)
        return self._held[environment_id] >= SHARE * free


def _subtract(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
