"""Recoveries go on: what is to be sent again becomes inbox rows, step by step."""

from dispatcher.store.data_errors import describe, is_data_error
from dispatcher.store.replays import Recoveries
from dispatcher.store.session import StatementTimeout
from dispatcher.telemetry import observe

LOOK = 2_000
"""Ended deliveries and events looked at in one step."""
LOOK_LEAST = 50
MAKE = 1_000
"""Inbox rows made in one step, and as many may wait there before the next one."""
PENDING_MOST = 5_000
"""What is emitted now for the endpoint has no more of its past before it."""
IDLE = 1.0
"""Seconds in which a recovery that somebody else has started is noticed."""
FAILURES_MOST = 8
"""Steps in succession that may fail, the last about two minutes after the first."""
A_MOMENT = 0.05
"""Seconds to leave one to the daemon that is at it."""


class Replay:
    def __init__(self, recoveries: Recoveries) -> None:
        self._recoveries = recoveries
        self._look = LOOK

    async def look(self) -> float:
        """One step; returns the seconds to the next. Raises StoreUnavailable or StatementTimeout."""
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
        """The others go on; this one is tried again, some times."""
        failed = await self._recoveries.note_failure(describe(error), FAILURES_MOST)
        if failed is not None:
            observe.recovery_failed(*failed, error)
        return 0.0
