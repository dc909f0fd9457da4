"""Share the slots of attempts in flight, so that no environment takes the last ones.

Endpoints that answered quickly until now may all stop answering at once, and hold their slots until
the attempts time out. So the fewer slots are free, the fewer an environment may hold: the free
ones are for the environments that hold few. This holds while several environments have a queue; one
alone may take all slots. Pure.
"""

HELD_PER_FREE = 7
"""Slots an environment may hold for each free one.

If it is the only one that sends, it can take 7 of 8 slots, and the last eighth stays free for the
others. If two send as much as they may, each has 7 of 15.
"""


class Slots:
    """The slots of a daemon, `limit` in all, counted by environment.

    `add_queue` and `remove_queue` tell how many queues an environment has. Without a queue of
    another environment, no slots are kept free.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # No Counter: assigning to its keys takes three times as long.
        self._held: dict[str, int] = {}
        self._total = 0
        self._queues: dict[str, int] = {}

    def add_queue(self, environment_id: str) -> None:
        """Count a queue of an environment."""
        _add(self._queues, environment_id, 1)

    def remove_queue(self, environment_id: str) -> None:
        """Count a queue of an environment less."""
        _add(self._queues, environment_id, -1)

    def take(self, environment_id: str) -> None:
        """Count a slot as held."""
        _add(self._held, environment_id, 1)
        self._total += 1

    def give_back(self, environment_id: str) -> None:
        """Count a slot as free again."""
        _add(self._held, environment_id, -1)
        self._total -= 1

    def is_share_used(self, environment_id: str) -> bool:
        """Return True if an environment holds as many slots as it may."""
        if len(self._queues) < 2:
            return False
        # At least one: an ordered queue holds its slot for longer than its request is in flight.
        free = max(1, self._limit - self._total)
        return self._held.get(environment_id, 0) >= HELD_PER_FREE * free


def _add(counts: dict[str, int], key: str, number: int) -> None:
    """Add to the count of a key; a count of 0 is removed."""
    count = counts.get(key, 0) + number
    if count:
        counts[key] = count
    else:
        del counts[key]
