"""Share the slots of attempts in flight, so that no environment takes the last ones.

Endpoints that answered quickly until now may all stop answering at once, and hold their slots until
the attempts time out. So the fewer slots are free, the fewer an environment may hold: the free
ones are for the environments that hold few. This holds while several environments have a queue; one
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

    `add_queue` and `remove_queue` tell how many queues an environment has. Without a queue of
    another environment, no slots are kept free.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._environments: dict[str, EnvironmentShare] = {}

    def add_queue(self, environment_id: str) -> EnvironmentShare:
        """Count a queue of an environment, and return the environment."""
        environment = self._environments.get(environment_id)
        if environment is None:
            environment = self._environments[environment_id] = EnvironmentShare(environment_id)
        environment.queues += 1
        return environment

    def remove_queue(self, environment: EnvironmentShare) -> None:
        """Count a queue of an environment less."""
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
        if len(self._environments) < 2:
            return False
        # At least one: an ordered queue holds its slot for longer than its request is in flight.
        free = max(1, self._limit - self._held)
        return environment.held >= HELD_PER_FREE * free
