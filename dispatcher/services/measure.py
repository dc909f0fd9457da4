"""What is seen from outside of the whole database: how much waits, and what is paused.

Measured now and then by one session, never when somebody asks: a scrape costs the database nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from dispatcher.services.audit_log import Actor
from dispatcher.services.backlog import Backlogs, largest
from dispatcher.services.pauses import Paused, Pauses
from dispatcher.store.session import Session
from dispatcher.telemetry import observe

LOOK_SECONDS = 2.0
"""Between two looks at what is paused: one row of an index."""
MEASURE_SECONDS = 15.0
"""Between two measurements: some twenty thousand rows at most, in 50 ms."""
MEASURE_MOST_SECONDS = 2.0
"""A database that needs longer has more important things to do."""
ENVIRONMENTS_NAMED = 20
"""Environments with figures of their own: each adds three lines to a scrape."""


@dataclass(frozen=True, slots=True)
class PausedNow:
    """`all_since` None: all are not paused. `environments`: how many are paused by themselves."""

    all_since: datetime | None
    environments: int


class Measure:
    """Give it a session that no sending waits for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pauses = Pauses(session, Actor("dispatcher"))
        self._measured_at = float("-inf")
        self._known: Mapping[str | None, Paused] = {}
        self.paused: PausedNow | None = None
        """None until the first look."""

    async def look(self) -> float:
        """One pass; returns the seconds to the next. Raises StoreUnavailable or StatementTimeout."""
        self._note(await self._pauses.current())
        if monotonic() - self._measured_at >= MEASURE_SECONDS:
            # Before it is asked: a statement that takes too long is not repeated at once.
            self._measured_at = monotonic()
            async with self._session.transaction() as opened:
                measured = await Backlogs(opened).read_in_time(MEASURE_MOST_SECONDS)
            observe.backlog(
                measured,
                largest(measured.environments, ENVIRONMENTS_NAMED),
                min((each.since for each in self._known.values()), default=None),
            )
        return LOOK_SECONDS

    def _note(self, pauses: tuple[Paused, ...]) -> None:
        found = {each.environment_id: each for each in pauses}
        for each in pauses:
            known = self._known.get(each.environment_id)
            if known is None or known.since != each.since:
                observe.paused(each.environment_id, each.since, each.by)
        for environment_id in self._known.keys() - found.keys():
            observe.resumed(environment_id)
        self._known = found
        of_all = found.get(None)
        since = of_all.since if of_all is not None else None
        self.paused = PausedNow(since, len(found) - (of_all is not None))
