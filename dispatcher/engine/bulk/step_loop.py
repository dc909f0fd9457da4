"""Run work that people have started step by step, and go on where a step fails.

A step that takes too long is made smaller. One that the database refuses for its data is noted as a
failure of its work, so that other work goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from dispatcher.engine.batch_size import BatchSize
from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.errors import StatementTimeoutError

IDLE_SECONDS: Final = 10.0
"""Longest wait between two passes: the backstop looks for work that is due, and wakes the stage."""
WAIT_MINIMUM_SECONDS: Final = 0.05
"""Shortest wait while another daemon works on it."""
FAILURES_LIMIT: Final = 8
"""Failed steps in a row until the work fails, about two minutes after the first."""


class StepLoop:
    """The loop of a stage that works in steps.

    - `step` runs one step of the work that has been due longest, as large as the size says, and
      returns False if none is due.
    - `next_wait` returns the seconds until some is due, None if there is no work.
    - `note_failure` writes down why the last step failed. The work is tried again later. It raises
      the error if the step failed before it had any work.

    `wake` is set when work is due.
    """

    def __init__(
        self,
        *,
        step: Callable[[BatchSize], Awaitable[bool]],
        next_wait: Callable[[], Awaitable[float | None]],
        note_failure: Callable[[str, Exception], Awaitable[None]],
    ) -> None:
        self._step = step
        self._next_wait = next_wait
        self._note_failure = note_failure
        self._size = BatchSize()
        self.wake = asyncio.Event()

    async def run_once(self) -> float:
        """Run one step if some work is due, and return the seconds to the next.

        Raise StoreError or StatementTimeoutError. After a timeout, the next step is
        smaller; the smallest one fails.
        """
        # A step costs many times as much, and most of the time there is no work at all.
        wait = await self._next_wait()
        if wait is None:
            return IDLE_SECONDS
        if wait > 0:
            return max(WAIT_MINIMUM_SECONDS, min(wait, IDLE_SECONDS))
        try:
            is_due = await self._step(self._size)
        except Exception as error:
            if isinstance(error, StatementTimeoutError):
                is_failure = not self._size.shrink()
            else:
                is_failure = is_data_error(error)
            if not is_failure:
                raise
            await self._note_failure(describe(error), error)
            return 0.0
        self._size.grow()
        return 0.0 if is_due else WAIT_MINIMUM_SECONDS
