"""Run replays step by step: each step turns ended deliveries and events into inbox rows.

A replay sends many deliveries of one endpoint again, chosen by time.
"""

from typing import Final

from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.bulk.step_loop import FAILURES_LIMIT, StepLoop
from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.queries.replays import Replays
from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

READ_LIMIT: Final = 2_000
"""Ended deliveries and events that one step reads, at most."""
ROWS_LIMIT: Final = 1_000
"""Inbox rows that one step makes, and that may wait in the inbox before the next step."""
PENDING_LIMIT: Final = 5_000
"""Pending deliveries of the endpoint. Otherwise new events would wait behind the whole replay."""


STEP_LIMIT_MS: Final = 500
"""Longest time that a step may keep people's changes of deliveries waiting. One that takes longer
is made smaller, and the smallest may take as long as every statement."""


class Replayer:
    """The stage that runs replays."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._replays = Replays(session)
        self._claimed: int | None = None
        self._loop = StepLoop(
            step=self._step, next_wait=self._replays.next, note_failure=self._note_failure
        )
        self.wake = self._loop.wake

    async def run_once(self) -> float:
        """Run one step, and return the seconds to the next. Raise what StepLoop.run_once raises."""
        return await self._loop.run_once()

    async def _step(self, size: BatchSize) -> bool:
        self._claimed = None
        async with self._session.transaction() as session:
            replays = Replays(session)
            self._claimed = await replays.claim()
            if self._claimed is None:
                return False
            await DeliveryActions(session).lock_all()
            if not size.is_smallest:
                await Settings(session).limit_statement_time(STEP_LIMIT_MS)
            await replays.step(
                self._claimed,
                look=size.scale(READ_LIMIT),
                make=ROWS_LIMIT,
                waiting=ROWS_LIMIT,
                pending=PENDING_LIMIT,
            )
        return True

    async def _note_failure(self, description: str, error: Exception) -> None:
        if self._claimed is None:
            raise error
        state = await self._replays.note_failure(self._claimed, description, FAILURES_LIMIT)
        if state is not None:
            observe.replays.step_failed(self._claimed, state, error)
