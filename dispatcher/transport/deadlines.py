"""Run many deadlines on one timer of the event loop.

`asyncio.timeout` starts and cancels a timer for each block, which costs a tenth of a small HTTP
request. Nearly all deadlines here are removed early, and most have the same length. So there is one
queue of deadlines for each length, and one timer waits for the earliest head of all queues.
"""

import asyncio
from math import inf
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

CLOCK_RESOLUTION_SECONDS = 0.001
"""uvloop counts whole milliseconds, so its timers may fire up to one millisecond early."""

ITERATIONS_FOR_ALL = 64
"""One call of the timer acts on one deadline, and on one more for each 64 in the queues, if they
have passed."""


class Expiring(Protocol):
    """An object with a deadline: `when` is in monotonic seconds, as are times of the event loop."""

    when: float

    def expire(self) -> None:
        """Act on the deadline, which has passed and is removed from its queue."""


Queue = dict[Expiring, None]
"""Deadlines of one length, the earliest first."""


class Deadline:
    """A context manager that raises TimeoutError when its time is over, like `asyncio.timeout`."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_queue", "_seconds", "_task", "when")

    def __init__(self, deadlines: "Deadlines", seconds: float) -> None:
        self.when = inf
        self._deadlines = deadlines
        self._seconds = seconds
        self._queue: Queue = {}
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("a deadline needs a task to cut off")
        self._cancelling = self._task.cancelling()
        self._queue = self._deadlines.start(self, self._seconds, monotonic())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._queue.pop(self, None)
        if not self._expired or self._task is None:
            return
        # Our own cancellation ends here. A cancellation from elsewhere at the same time goes on.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task in the block, as the time is over."""
        self._expired = True
        if self._task is not None:
            self._task.cancel()


class Deadlines:
    """Deadlines of the running event loop.

    A block that takes longer ends with a TimeoutError::

        with deadlines.within(15.0):
            await something()
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queues: dict[float, Queue] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = inf

    def within(self, seconds: float) -> Deadline:
        """Return a deadline for the block that it is entered for."""
        return Deadline(self, seconds)

    def start(self, item: Expiring, seconds: float, now: float) -> Queue:
        """Call `item.expire` when `seconds` have passed since `now`, in monotonic seconds.

        Remove the item from the returned queue to prevent that.
        """
        when = item.when = now + seconds
        if when < self._armed_for:
            self._arm(when)
        queue = self._queues.get(seconds)
        if queue is None:
            queue = self._queues[seconds] = {}
        queue[item] = None
        return queue

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._expire)
        self._armed_for = when

    def _expire(self) -> None:
        """Act on the first deadlines that have passed, and set the timer for the next one.

        So one iteration of the event loop acts on few deadlines. Otherwise a hundred requests that
        started together would hold the loop until all of them have ended.
        """
        self._timer, self._armed_for = None, inf
        now = self._loop.time() + CLOCK_RESOLUTION_SECONDS
        for _ in range(1 + sum(map(len, self._queues.values())) // ITERATIONS_FOR_ALL):
            queue = self._earliest()
            if queue is None or (item := next(iter(queue))).when > now:
                break
            del queue[item]
            item.expire()
        if (queue := self._earliest()) is not None:
            self._arm(next(iter(queue)).when)

    def _earliest(self) -> Queue | None:
        """Return the queue with the earliest deadline, None if there is none."""
        self._queues = {seconds: queue for seconds, queue in self._queues.items() if queue}
        return min(self._queues.values(), key=lambda queue: next(iter(queue)).when, default=None)
