"""Run replays step by step: each step turns ended deliveries and events into inbox rows.

A `Recovery` is one replay: many deliveries of one endpoint, chosen by time or filter.
"""

from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.replays import Recoveries
from dispatcher.store.session import StatementTimeout
from dispatcher.telemetry import observe

LOOK = 2_000
"""Ended deliveries and events that one step examines, at most."""
LOOK_LEAST = 50
"""The same after timeouts: each timeout divides the number by four, down to this."""
MAKE = 1_000
"""Inbox rows that one step makes, and that may wait in the inbox before the next step."""
PENDING_MOST = 5_000
"""Pending deliveries of the endpoint. Otherwise new events would wait behind the whole replay."""
IDLE = 1.0
"""Seconds until a replay that was started elsewhere is noticed."""
FAILURES_MOST = 8
"""Failed steps in a row until a replay fails, about two minutes after the first."""
A_MOMENT = 0.05
"""Shortest wait in seconds while another daemon works on the replay."""


class Replay:
    """The stage that runs replays."""

    def __init__(self, recoveries: Recoveries) -> None:
        self._recoveries = recoveries
        self._look = LOOK

    async def look(self) -> float:
        """Run one step, and return the seconds to the next.

        Raises StoreUnavailable or StatementTimeout. After a timeout, the next step is smaller.
        """
        try:
            step = await self._recoveries.step(
                look=self._look, make=MAKE, waiting=MAKE, pending=PENDING_MOST
            )
        except StatementTimeout as error:
            if self._look > LOOK_LEAST:
                self._look = max(LOOK_LEAST, self._look // 4)
                raise
            return await self._put_off(error)
        except Exception as error:
            if not is_data_error(error):
                raise
            return await self._put_off(error)
        self._look = min(LOOK, self._look * 2)
        if step is not None:
            return 0.0
        wait = await self._recoveries.next()
        return IDLE if wait is None else max(A_MOMENT, min(wait, IDLE))

    async def _put_off(self, error: Exception) -> float:
        """Note a failed step: other replays go on, and this one is tried again FAILURES_MOST times.

        Return 0.0, the seconds to the next step.
        """
        failed = await self._recoveries.note_failure(describe(error), FAILURES_MOST)
        if failed is not None:
            observe.recovery_failed(*failed, error)
        return 0.0
