"""Move scheduled times back after the database's clock was set back.

A retry is stored as a time by the database's clock. If the clock is set back by an hour, each
retry would wait an hour too long. The owner of a shard notices the step with a heartbeat, and moves
the rows of its shards once, one part of the table at a time. Replays and bulk actions belong to no
shard: each daemon lets their next steps be due.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from dispatcher.core.model import ClockSetBack
from dispatcher.store.queries.bulk_actions import BulkActions
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.replays import Replays
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

ROWS_LIMIT = 5_000
"""Rows of the table that one statement reads."""
STEPS_LIMIT = 16
"""Steps that may wait; older ones are dropped. A clock that is set back more often is broken."""
IDLE_SECONDS = 60.0


class Rescheduler:
    """The stage that moves scheduled times.

    `on_moved` is called with the shards of a step after all their rows were moved, as memory may
    hold their old times.
    """

    def __init__(self, session: Session, *, on_moved: Callable[[frozenset[int]], None]) -> None:
        self._deliveries = Deliveries(session)
        self._endpoints = Endpoints(session)
        self._replays = Replays(session)
        self._bulk_actions = BulkActions(session)
        self._on_moved = on_moved
        self._steps: deque[ClockSetBack] = deque(maxlen=STEPS_LIMIT)
        self._after_id: int | None = None
        self._moved = 0
        self.wake = asyncio.Event()
        self._has_finished = asyncio.Event()
        self._has_finished.set()

    @property
    def unfinished(self) -> frozenset[int]:
        """Return the shards of which rows may still have to be moved."""
        return frozenset().union(*(step.shards for step in self._steps))

    def set_back(self, step: ClockSetBack) -> None:
        """Note that the clock was set back; return without waiting."""
        self._steps.append(step)
        self._has_finished.clear()
        self.wake.set()

    async def run_once(self) -> float:
        """Move the rows of one part of the table, and return the seconds to the next pass.

        Raise StoreError or StatementTimeoutError; the part is tried again then.
        """
        if not self._steps:
            return IDLE_SECONDS
        step = self._steps[0]
        if self._after_id is None:
            await self._replays.bring_forward()
            await self._bulk_actions.bring_forward()
            await self._endpoints.bring_forward(step)
            self._after_id = 0
        last, moved = await self._deliveries.bring_forward(step, self._after_id, ROWS_LIMIT)
        self._moved += moved
        self._after_id = last
        if last is None:
            self._steps.popleft()
            observe.database.retries_moved(step.seconds, self._moved)
            self._moved = 0
            self._on_moved(step.shards)
            if not self._steps:
                self._has_finished.set()
        return 0.0

    async def drain(self) -> None:
        """Wait until all rows are moved."""
        await self._has_finished.wait()
