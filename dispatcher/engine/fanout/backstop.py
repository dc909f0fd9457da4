"""Look for work that nothing has announced, and wake the stages that do it.

A notification can be lost, and producers can turn notifications off. No notification announces the
next steps of replays and bulk actions. One small statement finds all such work. Otherwise each
stage would run a larger statement of its own every second, only to find no work.
"""

import asyncio
from collections.abc import Callable, Mapping

from dispatcher.store.queries.queues import Queues

BACKSTOP_SECONDS = 1.0
"""Seconds between two looks."""
BACKSTOP_WITHOUT_NOTIFY_SECONDS = 0.2
"""The same if producers never notify."""


class Backstop:
    """The stage that looks for work.

    `read_after` returns the id above which the inbox is read, None while it is not known. `wakes`
    has what wakes the stage of each queue; its keys are the columns of WaitingRow. `notified` is
    True if producers notify an idle daemon.
    """

    def __init__(
        self,
        queues: Queues,
        *,
        read_after: Callable[[], int | None],
        wakes: Mapping[str, asyncio.Event],
        notified: bool,
    ) -> None:
        self._queues = queues
        self._read_after = read_after
        self._wakes = wakes
        self._seconds = BACKSTOP_SECONDS if notified else BACKSTOP_WITHOUT_NOTIFY_SECONDS

    async def run_once(self) -> float:
        """Look once, and return the seconds to the next look.

        Raise StoreError or StatementTimeoutError.
        """
        after_id = self._read_after()
        if after_id is not None:
            for queue, has_work in (await self._queues.waiting(after_id=after_id)).items():
                if has_work:
                    self._wakes[queue].set()
        return self._seconds
