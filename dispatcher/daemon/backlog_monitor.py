"""Measure the backlog and the pauses of the whole database, for metrics and health checks.

One session measures at intervals. A scrape only reads the last result, so it costs the database
nothing.
"""

from collections.abc import Mapping
from time import monotonic

from dispatcher.core.figures import PauseTotals
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.backlog import Backlogs, largest
from dispatcher.services.pauses import CurrentPause, Pauses
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

PAUSES_SECONDS = 2.0
"""Interval between two reads of the pauses. One reads the rows of paused environments only."""
MEASURE_SECONDS = 15.0
"""Interval between two measurements. One reads at most about twenty thousand rows, in 50 ms."""
MEASURE_LIMIT_SECONDS = 2.0
"""Longest measurement. A database that needs longer has more important things to do."""
NAMED_ENVIRONMENTS_LIMIT = 20
"""Most environments with their own figures. Each adds three lines to a scrape."""


class BacklogMonitor:
    """The stage that measures. Give it a session that sending does not depend on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pauses = Pauses(session, Actor("dispatcher"))
        self._measured_at = float("-inf")
        self._known: Mapping[str | None, CurrentPause] = {}
        self.paused: PauseTotals | None = None
        """All pauses in force, or None before the first read."""

    async def run_once(self) -> float:
        """Run one pass. Return the seconds until the next.

        Raise StoreError or StatementTimeoutError.
        """
        self.paused = totals = await self._pauses.totals()
        await self._log_changes(totals)
        if monotonic() - self._measured_at >= MEASURE_SECONDS:
            # Set before the statement. Otherwise one that takes too long would be repeated at once.
            self._measured_at = monotonic()
            async with self._session.transaction() as opened:
                measured = await Backlogs(opened).read_in_time(MEASURE_LIMIT_SECONDS)
            observe.backlog.measured(
                measured,
                largest(measured.environments, NAMED_ENVIRONMENTS_LIMIT),
                totals,
            )
        return PAUSES_SECONDS

    async def _log_changes(self, totals: PauseTotals) -> None:
        """Log the pauses that began and ended since the last pass.

        `Pauses.current` lists a limited number of them, and prefers those that are given to it: the
        known ones. Otherwise a known pause that is not listed would look ended.
        """
        if not (self._known or totals.all_since or totals.environments):
            return
        pauses = await self._pauses.current([known for known in self._known if known is not None])
        current = {pause.environment_id: pause for pause in pauses}
        for pause in pauses:
            known = self._known.get(pause.environment_id)
            if known is None or known.since != pause.since:
                observe.pauses.paused(pause.environment_id, pause.since, pause.by)
        for environment_id in self._known.keys() - current.keys():
            observe.pauses.resumed(environment_id)
        self._known = current
