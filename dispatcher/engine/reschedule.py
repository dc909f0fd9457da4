"""After the database's clock was set back: what was scheduled by it comes as much earlier.

A retry is stored as a time on the database's clock. If that is set back by an hour, all retries of
the hour before would wait an hour more than they should. Who owns a shard notices the step with a
heartbeat, and moves the rows of its shards, once, a part of the table at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from dispatcher.core.model import SetBack
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.endpoints import Endpoints
from dispatcher.telemetry import observe

ROWS_AT_ONCE = 5_000
STEPS_MOST = 16
"""Steps waiting at one time. A clock set back so often in seconds is broken, not wrong."""
IDLE_SECONDS = 60.0


class Reschedule:
    """`done` is called after the rows were moved: what memory knows of their times is old."""

    def __init__(
        self, deliveries: Deliveries, endpoints: Endpoints, *, done: Callable[[], None]
    ) -> None:
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._done = done
        self._steps: deque[SetBack] = deque(maxlen=STEPS_MOST)
        self._above: int | None = None
        self._moved = 0
        self.wake = asyncio.Event()

    def set_back(self, step: SetBack) -> None:
        """Take note of a step; waits for nothing."""
        self._steps.append(step)
        self.wake.set()

    async def run_once(self) -> float:
        """Move one part; return the seconds to the next. Raises StoreUnavailable or StatementTimeout,
        with that part still to be moved."""
        if not self._steps:
            return IDLE_SECONDS
        step = self._steps[0]
        if self._above is None:
            await self._endpoints.bring_forward(step)
            self._above = 0
        last, moved = await self._deliveries.bring_forward(step, self._above, ROWS_AT_ONCE)
        self._moved += moved
        self._above = last
        if last is None:
            self._steps.popleft()
            observe.rescheduled(step.seconds, self._moved)
            self._moved = 0
            self._done()
        return 0.0
