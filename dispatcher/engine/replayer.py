"""Run replays step by step: each step turns ended deliveries and events into inbox rows.

A replay sends many deliveries of one endpoint again, chosen by time or filter.
"""

from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.replays import Replays
from dispatcher.telemetry import observe

READ_LIMIT = 2_000
"""Ended deliveries and events that one step reads, at most."""
READ_MINIMUM = 50
"""The same after timeouts: each timeout divides the number by four, down to this."""
ROWS_LIMIT = 1_000
"""Inbox rows that one step makes, and that may wait in the inbox before the next step."""
PENDING_LIMIT = 5_000
"""Pending deliveries of the endpoint. Otherwise new events would wait behind the whole replay."""
IDLE_SECONDS = 1.0
"""Seconds until a replay that was started elsewhere is noticed."""
FAILURES_LIMIT = 8
"""Failed steps in a row until a replay fails, about two minutes after the first."""
WAIT_MINIMUM_SECONDS = 0.05
"""Shortest wait while another daemon works on the replay."""


class Replayer:
    """The stage that runs replays."""

    def __init__(self, replays: Replays) -> None:
        self._replays = replays
        self._read_limit = READ_LIMIT

    async def run_once(self) -> float:
        """Run one step, and return the seconds to the next.

        Raises StoreUnavailableError or StatementTimeoutError. After a timeout, the next step is
        smaller.
        """
        try:
            step = await self._replays.step(
                look=self._read_limit, make=ROWS_LIMIT, waiting=ROWS_LIMIT, pending=PENDING_LIMIT
            )
        except StatementTimeoutError as error:
            if self._read_limit > READ_MINIMUM:
                self._read_limit = max(READ_MINIMUM, self._read_limit // 4)
                raise
            return await self._note_failure(error)
        except Exception as error:
            if not is_data_error(error):
                raise
            return await self._note_failure(error)
        self._read_limit = min(READ_LIMIT, self._read_limit * 2)
        if step is not None:
            return 0.0
        wait = await self._replays.next()
        return IDLE_SECONDS if wait is None else max(WAIT_MINIMUM_SECONDS, min(wait, IDLE_SECONDS))

    async def _note_failure(self, error: Exception) -> float:
        """Note a failed step: this replay is tried again later, and other replays go on.

        Return 0.0, the seconds to the next step.
        """
        failed = await self._replays.note_failure(describe(error), FAILURES_LIMIT)
        if failed is not None:
            observe.replays.step_failed(*failed, error)
        return 0.0
