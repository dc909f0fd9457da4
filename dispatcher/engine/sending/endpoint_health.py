"""Write what sending shows about endpoints: failures, successes, rests, disabling, and events.

Notes are collected in memory and written about once a second. So an endpoint that fails a thousand
times a second costs one row a second.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from dispatcher.core.model import Endpoint, Outcome, Result
from dispatcher.engine.clock import boottime
from dispatcher.store.bisection import bisect
from dispatcher.store.data_errors import is_data_error
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.events import Events
from dispatcher.telemetry import observe

WRITE_EVERY_SECONDS = 1.0
"""Seconds between two writes."""
SUCCESS_EVERY_SECONDS = 60.0
"""Seconds until a success is written again, as another daemon may have noted failures."""
_NO_OUTCOME = (False, float("-inf"))
EVENTS_LIMIT = 500
"""Events that one statement emits."""


@dataclass(slots=True)
class Notes:
    """Observations that are not in the database yet."""

    failures: Counter[UUID] = field(default_factory=Counter)
    successes: set[UUID] = field(default_factory=set)
    rests: dict[UUID, float] = field(default_factory=dict)
    """The end of the rest of each endpoint, in seconds of `boottime`, as a suspend counts."""
    disabled: dict[UUID, tuple[str, str | None]] = field(default_factory=dict)
    """The reason, and the URL that gave it, if it is about that URL."""
    exhausted: list[tuple[int, int]] = field(default_factory=list)
    """Deliveries that failed, each with the number of its last attempt."""

    def rest(self, endpoint_id: UUID, until: float) -> None:
        """Let an endpoint rest `until` a moment of `boottime`, unless it rests for longer."""
        self.rests[endpoint_id] = max(until, self.rests.get(endpoint_id, 0.0))

    def add(self, newer: "Notes") -> None:
        """Merge newer notes into these; a success clears older failures of its endpoint."""
        for endpoint_id in newer.successes:
            self.failures.pop(endpoint_id, None)
        self.failures += newer.failures
        self.successes |= newer.successes
        for endpoint_id, until in newer.rests.items():
            self.rest(endpoint_id, until)
        self.disabled |= newer.disabled
        self.exhausted += newer.exhausted


class EndpointHealth:
    """The stage that writes notes about endpoints.

    `disable_after` is in seconds: an endpoint that has only failed for this time, at least 5 times
    and on two days, is disabled.
    """

    def __init__(self, endpoints: Endpoints, events: Events, *, disable_after: float) -> None:
        self._endpoints = endpoints
        self._events = events
        self._disable_after = disable_after
        self._notes = Notes()
        self._writing = asyncio.Lock()
        # By endpoint: whether the last outcome was a failure, and the `boottime` of that failure
        # or of the last success that was to be written. Entries older than SUCCESS_EVERY_SECONDS
        # are removed.
        self._last: OrderedDict[UUID, tuple[bool, float]] = OrderedDict()
        self.wake = asyncio.Event()

    def note(self, endpoint: Endpoint, outcome: Outcome) -> None:
        """Note one outcome; return without waiting."""
        if outcome.code == "ok":
            self._note_success(endpoint)
            return
        self._remember(endpoint.id, failing=True)
        self._notes.failures[endpoint.id] += 1
        if outcome.rest:
            self._notes.rest(endpoint.id, boottime() + outcome.rest)
        if outcome.disable:
            self._notes.disabled[endpoint.id] = (outcome.disable, endpoint.url)
            self.wake.set()

    def note_recorded(self, results: Sequence[Result]) -> None:
        """Note recorded results; an event is emitted for each delivery that failed with one.

        Some of them may be late: the table says which ended their deliveries.
        """
        self._notes.exhausted += [
            (result.delivery.id, result.delivery.attempt + 1)
            for result in results
            if result.outcome.state == "FAILED"
        ]

    async def run_once(self) -> float:
        """Write the notes, and return the seconds to the next pass.

        Raise StoreError or StatementTimeoutError; the next pass writes what was not written.
        """
        async with self._writing:
            notes, self._notes = self._notes, Notes()
            try:
                await self._write(notes)
            except BaseException:
                notes.add(self._notes)
                self._notes = notes
                raise
        return WRITE_EVERY_SECONDS

    async def drain(self) -> None:
        """Write all notes made so far, then return."""
        await self.run_once()

    async def _write(self, notes: Notes) -> None:
        """Write `notes`, and remove from it each part that was written.

        A note that the database refuses is discarded. Otherwise the notes of all other endpoints
        would stay in memory and grow without limit.
        """
        discard = observe.endpoints.state_discarded
        await bisect(list(notes.successes), self._endpoints.note_successes, discard)
        notes.successes.clear()

        async def note_failures(batch: Sequence[UUID]) -> None:
            counts = {i: notes.failures[i] for i in batch}
            for endpoint_id in await self._endpoints.note_failures(counts, self._disable_after):
                notes.disabled.setdefault(endpoint_id, ("failing", None))
            for endpoint_id in batch:
                del notes.failures[endpoint_id]

        await bisect(list(notes.failures), note_failures, discard)
        notes.failures.clear()
        for endpoint_id, until in list(notes.rests.items()):
            left = max(0.0, until - boottime())
            await self._unless_refused(endpoint_id, self._endpoints.rest(endpoint_id, left))
            del notes.rests[endpoint_id]
        for endpoint_id, (reason, url) in list(notes.disabled.items()):
            await self._unless_refused(endpoint_id, self._disable(endpoint_id, reason, url))
            del notes.disabled[endpoint_id]
        while batch := notes.exhausted[:EVENTS_LIMIT]:
            await bisect(
                batch, self._events.emit_exhausted, observe.endpoints.exhausted_event_discarded
            )
            del notes.exhausted[: len(batch)]

    async def _unless_refused(self, endpoint_id: UUID, call: Awaitable[None]) -> None:
        """Await the writing of one endpoint; discard it if the database refuses its data."""
        try:
            await call
        except Exception as error:
            if not is_data_error(error):
                raise
            observe.endpoints.state_discarded(endpoint_id, error)

    def _note_success(self, endpoint: Endpoint) -> None:
        failing, since = self._last.get(endpoint.id, _NO_OUTCOME)
        if failing or boottime() - since > SUCCESS_EVERY_SECONDS:
            self._remember(endpoint.id, failing=False)
            self._notes.successes.add(endpoint.id)
            self._notes.failures.pop(endpoint.id, None)  # failures before a success do not count

    def _remember(self, endpoint_id: UUID, *, failing: bool) -> None:
        """Store the last outcome of an endpoint, and remove entries that are too old to be used."""
        now = boottime()
        self._last[endpoint_id] = (failing, now)
        self._last.move_to_end(endpoint_id)
        while now - next(iter(self._last.values()))[1] > SUCCESS_EVERY_SECONDS:
            self._last.popitem(last=False)

    async def _disable(self, endpoint_id: UUID, reason: str, url: str | None) -> None:
        if await self._endpoints.disable(endpoint_id, reason, url) is not None:
            observe.endpoints.disabled(endpoint_id, reason)
