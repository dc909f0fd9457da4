"""Run work that people have started step by step, and go on where a step fails.

A step that takes too long is made smaller. If the smallest takes too long, or the database refuses
the data of a step, a failure of its work is noted, so that other work goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from dispatcher.engine.batch_size import BatchSize
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.session import Session, Transaction

IDLE_SECONDS: Final = 10.0
"""Longest wait between two passes: the backstop looks for work that is due, and wakes the stage."""
WAIT_MINIMUM_SECONDS: Final = 0.05
"""Shortest wait until work is due or another daemon leaves it, and the wait after a timeout."""
FAILURES_LIMIT: Final = 8
"""Failed steps in a row until the work fails, about two minutes after the first."""


class Step(NamedTuple):
    """A step of work that was claimed.

    `run` makes the step as large as the size says, in the transaction that claimed the work.
    """

    environment_id: str
    work_id: int
    run: Callable[[BatchSize], Awaitable[object]]


class StoredWork(Protocol):
    """The rows of all work of one kind."""

    async def next(self) -> float | None:
        """Return the seconds until some work is due, None if there is no work."""

    async def note_failure(
        self, environment_id: str, work_id: int, error: str, limit: int, /
    ) -> str | None:
        """Let work be tried again later, or fail after `limit` failures in a row.

        Return its state, or None if it is not running any more.
        """


class StepLoop:
    """The loop of a stage that works in steps, each in a transaction.

    - `work` has the rows of the work.
    - `claim` locks work that is due, and returns its next step, or None if none is due or other
      daemons hold it.
    - `on_failure` is called with the id and the state of work whose step failed, and the error.

    `wake` is set when work is due.
    """

    def __init__(
        self,
        session: Session,
        work: StoredWork,
        *,
        claim: Callable[[Transaction], Awaitable[Step | None]],
        on_failure: Callable[[int, str, Exception], None],
    ) -> None:
        self._session = session
        self._work = work
        self._claim = claim
        self._on_failure = on_failure
        self._claimed: Step | None = None
        self._size = BatchSize()
        self.wake = asyncio.Event()

    async def run_once(self) -> float:
        """Run one step if some work is due, and return the seconds to the next.

        After a timeout, the next step is smaller; the smallest one fails. Raise StoreError, or
        StatementTimeoutError of what comes before a step.
        """
        # A step costs many times as much as this look, and mostly there is no work at all.
        wait = await self._work.next()
        if wait is None:
            return IDLE_SECONDS
        if wait > 0:
            return max(WAIT_MINIMUM_SECONDS, min(wait, IDLE_SECONDS))
        try:
            is_due = await self._run_step()
        except Exception as error:
            if self._claimed is None:
                raise
            if isinstance(error, StatementTimeoutError):
                if self._size.shrink():
                    return WAIT_MINIMUM_SECONDS
            elif not is_data_error(error):
                raise
            await self._note_failure(self._claimed, error)
            return 0.0
        self._size.grow()
        return 0.0 if is_due else WAIT_MINIMUM_SECONDS

    async def _run_step(self) -> bool:
        """Run one step; return False if no work is due."""
        self._claimed = None
        async with self._session.transaction() as session:
            step = await self._claim(session)
            if step is None:
                return False
            self._claimed = step
            await step.run(self._size)
        return True

    async def _note_failure(self, step: Step, error: Exception) -> None:
        state = await self._work.note_failure(
            step.environment_id, step.work_id, describe(error), FAILURES_LIMIT
        )
        if state is not None:
            self._on_failure(step.work_id, state, error)
