"""Share the slots of attempts in flight, so that no environment takes the last ones.

Endpoints that answered quickly until now may all stop answering at once, and hold their slots until
the attempts time out. So the fewer slots are free, the fewer an environment may hold: the free
ones are for the environments that hold few. This holds while there are several environments; one
alone may take all slots. Pure.
"""

from dispatcher.engine.buffer.endpoint_queue import EnvironmentShare

HELD_PER_FREE = 7
"""Slots an environment may hold for each free one.

If it is the only one that sends, it can take 7 of 8 slots, and the last eighth stays free for the
others. If two send as much as they may, each has 7 of 15.
"""


class Slots:
    """The slots of a daemon, `limit` in all, counted by environment.

    `add_queue` and `remove_queue` count the queues of an environment. `share` sets whether there
    may be environments without a queue. If an environment is alone, no slots are kept free.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._has_others = False
        self._environments: dict[str, EnvironmentShare] = {}

    @property
    def are_shared(self) -> bool:
        """Return True if there is more than one environment."""
        return self._has_others or len(self._environments) > 1

    def share(self, are_shared: bool) -> None:
        """Set whether there may be environments that have no queue yet."""
        self._has_others = are_shared

    def add_queue(self, environment_id: str) -> EnvironmentShare:
        """Count a queue of an environment, and return the environment."""
        environment = self._environments.get(environment_id)
        if environment is None:
            environment = self._environments[environment_id] = EnvironmentShare(environment_id)
        environment.queues += 1
        return environment

    def remove_queue(self, environment: EnvironmentShare) -> None:
        """Count one queue of an environment less; forget an environment without queues."""
        environment.queues -= 1
        if not environment.queues:
            del self._environments[environment.id]

    def take(self, environment: EnvironmentShare) -> None:
        """Count a slot as held."""
        environment.held += 1
        self._held += 1

    def give_back(self, environment: EnvironmentShare) -> None:
        """Count a slot as free again."""
        environment.held -= 1
        self._held -= 1

    def is_share_used(self, environment: EnvironmentShare) -> bool:
        """Return True if an environment holds as many slots as it may."""
        if not self.are_shared:
            return False
        # At least one, as more than `limit` slots may be held: an ordered queue holds its slot
        # until its attempt is recorded.
        free = max(1, self._limit - self._held)
        return environment.held >= HELD_PER_FREE * free
