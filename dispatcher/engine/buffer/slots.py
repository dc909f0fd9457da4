"""Share the slots of attempts in flight, so that no environment takes the last ones.

Endpoints that answered quickly until now may all stop answering at once, and hold their slots until
the attempts time out. So the fewer slots are free, the fewer an environment may hold: the free
ones are for the environments that hold few. Pure.
"""

from collections import Counter

HELD_PER_FREE = 7
"""Slots an environment may hold for each free one: alone 7 of 8, each of two 7 of 15."""


class Slots:
    """The slots of a daemon, `limit` in all, counted by environment.

    An environment whose endpoints are the only ones with a queue may take all of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()
        self._total = 0
        self._queues: Counter[str] = Counter()

    def add_queue(self, environment_id: str) -> None:
        """Count a queue of an environment."""
        self._queues[environment_id] += 1

    def remove_queue(self, environment_id: str) -> None:
        """Count a queue of an environment less."""
        _subtract_one(self._queues, environment_id)

    def take(self, environment_id: str) -> None:
        """Count a slot as held."""
        self._held[environment_id] += 1
        self._total += 1

    def give_back(self, environment_id: str) -> None:
        """Count a slot as free again."""
        _subtract_one(self._held, environment_id)
        self._total -= 1

    def is_share_used(self, environment_id: str) -> bool:
        """Return True if an environment holds as many slots as it may."""
        if len(self._queues) < 2:
            return False
        # At least one: an ordered queue holds its slot for longer than its request is in flight.
        free = max(1, self._limit - self._total)
        return self._held[environment_id] >= HELD_PER_FREE * free


def _subtract_one(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
