"""Decide whose turn it is: environments take turns, and in each environment its queues. Pure."""

from collections import deque

from dispatcher.engine.buffer.endpoint_queue import EndpointQueue, EnvironmentShare
from dispatcher.engine.buffer.slots import Slots


class RoundRobin:
    """The queues that may start something, in the order of their turns.

    An environment that holds its share of `slots` is passed over until the next `restart`.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._turns: deque[EnvironmentShare] = deque()
        self._passed_over: list[EnvironmentShare] = []

    @property
    def has_turns(self) -> bool:
        """Return True if `next` has an environment to ask."""
        return bool(self._turns)

    def add(self, queue: EndpointQueue) -> None:
        """Give a queue its turn after the others of its environment."""
        queue.has_turn = True
        environment = queue.environment
        if not environment.turns:
            self._turns.append(environment)
        environment.turns.append(queue)

    def restart(self) -> None:
        """Ask environments again that were passed over, as slots may be free now."""
        if self._passed_over:
            self._turns.extend(self._passed_over)
            self._passed_over.clear()

    def next(self) -> EndpointQueue | None:
        """Remove and return the queue whose turn it is, None if there is none.

        It is up to the caller to add it again.
        """
        while self._turns:
            environment = self._turns.popleft()
            if self._slots.is_share_used(environment):
                self._passed_over.append(environment)
                continue
            queue = environment.turns.popleft()
            queue.has_turn = False
            if environment.turns:
                self._turns.append(environment)
            return queue
        return None
