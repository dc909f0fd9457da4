"""Measure the backlog and the pauses of the whole database, for metrics and health checks.

One session measures at intervals. A scrape only reads the last result, so it costs the database
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from dispatcher.services.audit_log import Actor
from dispatcher.services.backlog import Backlogs, largest
from dispatcher.services.pauses import CurrentPause, Pauses
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

PAUSES_SECONDS = 2.0
"""Interval between two reads of the pauses. One read is one row of an index."""
MEASURE_SECONDS = 15.0
"""Interval between two measurements. One reads at most about twenty thousand rows, in 50 ms."""
MEASURE_LIMIT_SECONDS = 2.0
"""Longest measurement. A database that needs longer has more important things to do."""
ENVIRONMENTS_NAMED = 20
"""Most environments with their own figures. Each adds three lines to a scrape."""


@dataclass(frozen=True, slots=True)
class PausedNow:
    """The pauses in force.

    `all_since` is None if not all environments are paused. `environments` counts those paused
    themselves.
    """

    all_since: datetime | None
    environments: int


class BacklogMonitor:
    """The stage that measures. Give it a session that sending does not depend on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pauses = Pauses(session, Actor("dispatcher"))
        self._measured_at = float("-inf")
        self._known: Mapping[str | None, CurrentPause] = {}
        self.paused: PausedNow | None = None
        """The pauses in force, or None before the first read."""

    async def run_once(self) -> float:
        """Run one pass. Return the seconds until the next.

        Raise StoreUnavailableError or StatementTimeoutError.
        """
        self._note(await self._pauses.current())
        if monotonic() - self._measured_at >= MEASURE_SECONDS:
            # Set before the statement. Otherwise one that takes too long would be repeated at once.
            self._measured_at = monotonic()
            async with self._session.transaction() as opened:
                measured = await Backlogs(opened).read_in_time(MEASURE_LIMIT_SECONDS)
            observe.backlog.measured(
                measured,
                largest(measured.environments, ENVIRONMENTS_NAMED),
                min((pause.since for pause in self._known.values()), default=None),
            )
        return PAUSES_SECONDS

    def _note(self, pauses: tuple[CurrentPause, ...]) -> None:
        current = {pause.environment_id: pause for pause in pauses}
        for pause in pauses:
            known = self._known.get(pause.environment_id)
            if known is None or known.since != pause.since:
                observe.pauses.paused(pause.environment_id, pause.since, pause.by)
        for environment_id in self._known.keys() - current.keys():
            observe.pauses.resumed(environment_id)
        self._known = current
        of_all = current.get(None)
        since = of_all.since if of_all is not None else None
        self.paused = PausedNow(since, len(current) - (of_all is not None))
