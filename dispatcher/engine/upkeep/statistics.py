"""Write statistics by endpoint and by environment.

Recorded attempts are added up in memory and written every two seconds, so that no send waits for
it. A crash loses at most two seconds of the sums, never the attempts themselves.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.histogram import BINS, bin_of
from dispatcher.core.histogram import add as add_histograms
from dispatcher.core.model import Result
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.store.bisection import bisect
from dispatcher.store.queries.statistics import Statistics, Sums
from dispatcher.telemetry import observe

Key = TypeVar("Key")

WRITE_EVERY_SECONDS = 2.0
"""Seconds between two writes."""
ENDPOINTS_LIMIT = 500
"""Endpoints per statement, and per step of the summing. Otherwise it would block the event loop."""


class Tally:
    """The counts of one endpoint since the last write; `duration_ms` is the sum of durations."""

    __slots__ = (
        "delivered",
        "duration_ms",
        "durations",
        "environment_id",
        "failed",
        "failed_attempts",
    )

    def __init__(self, environment_id: str | None) -> None:
        self.environment_id = environment_id
        self.failed_attempts = 0
        self.delivered = 0
        self.failed = 0
        self.duration_ms = 0
        self.durations = [0] * BINS


class StatisticsWriter:
    """The stage that writes statistics."""

    def __init__(self, statistics: Statistics, endpoints: EndpointCache) -> None:
        self._statistics = statistics
        self._endpoints = endpoints
        self._tallies: dict[UUID, Tally] = {}
        # Not yet in the database.
        self._of_endpoints: dict[UUID, Sums] = {}
        self._of_environments: dict[str, Sums] = {}
        self._writing = asyncio.Lock()

    def note(self, results: Sequence[Result]) -> None:
        """Add recorded attempts to the counts; return without waiting."""
        tallies = self._tallies
        for result in results:
            endpoint_id = result.delivery.endpoint_id
            tally = tallies.get(endpoint_id)
            if tally is None:
                tally = tallies[endpoint_id] = Tally(self._environment(endpoint_id))
            tally.duration_ms += result.duration_ms
            tally.durations[bin_of(result.duration_ms)] += 1
            outcome = result.outcome
            if outcome.code != "ok":
                tally.failed_attempts += 1
            if outcome.state == "DELIVERED":
                tally.delivered += 1
            elif outcome.state == "FAILED":
                tally.failed += 1

    async def run_once(self) -> float:
        """Write the counts, and return the seconds to the next pass.

        Raise StoreError or StatementTimeoutError; the next pass writes what was not written.
        """
        async with self._writing:
            await self._gather()
            unwritten = sorted(self._of_endpoints)
            for start in range(0, len(unwritten), ENDPOINTS_LIMIT):
                batch = unwritten[start : start + ENDPOINTS_LIMIT]
                await bisect(batch, self._add_of_endpoints, self._discard)
            await bisect(list(self._of_environments), self._add_of_environments, self._discard)
        return WRITE_EVERY_SECONDS

    async def drain(self) -> None:
        """Write all counts made so far, then return."""
        await self.run_once()

    async def _add_of_endpoints(self, ids: Sequence[UUID]) -> None:
        await self._statistics.add_of_endpoints({i: self._of_endpoints[i] for i in ids})
        for written in ids:
            del self._of_endpoints[written]

    async def _add_of_environments(self, ids: Sequence[str]) -> None:
        await self._statistics.add_of_environments({i: self._of_environments[i] for i in ids})
        for written in ids:
            del self._of_environments[written]

    def _discard(self, key: UUID | str, error: Exception) -> None:
        observe.endpoints.statistics_discarded(key, error)
        if isinstance(key, UUID):
            del self._of_endpoints[key]
        else:
            del self._of_environments[key]

    async def _gather(self) -> None:
        tallies, self._tallies = self._tallies, {}
        gathered: dict[str, Sums] = {}
        for number, (endpoint_id, tally) in enumerate(tallies.items(), start=1):
            sums = _sums(tally)
            _add(self._of_endpoints, endpoint_id, sums)
            _add(gathered, tally.environment_id or ALL_ENVIRONMENTS, sums)
            if number % ENDPOINTS_LIMIT == 0:
                await asyncio.sleep(0)
        for environment_id, sums in gathered.items():
            _add(self._of_environments, ALL_ENVIRONMENTS, sums)
            if environment_id != ALL_ENVIRONMENTS:
                _add(self._of_environments, environment_id, sums)

    def _environment(self, endpoint_id: UUID) -> str | None:
        """Return the endpoint's environment, None if the endpoint was deleted and forgotten."""
        try:
            return self._endpoints[endpoint_id].environment_id
        except KeyError:
            return None


def _sums(tally: Tally) -> Sums:
    return Sums(
        sum(tally.durations),
        tally.failed_attempts,
        tally.delivered,
        tally.failed,
        tally.duration_ms,
        tally.durations,
    )


def _add(to: dict[Key, Sums], key: Key, more: Sums) -> None:
    sums = to.get(key)
    if sums is None:
        to[key] = more
        return
    to[key] = Sums(
        sums.attempts + more.attempts,
        sums.failed_attempts + more.failed_attempts,
        sums.delivered + more.delivered,
        sums.failed + more.failed,
        sums.duration_ms + more.duration_ms,
        add_histograms(sums.durations, more.durations),
    )
