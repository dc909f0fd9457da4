"""Check events of types with an enforced schema; move them to the inbox or to quarantine.

Ordinary events do not pass this stage and never wait for it. What wakes the fan-out wakes it too,
and it starts a little later, so that the fan-out goes first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from dispatcher.engine.fanout.fairness import FairOrder, Slice
from dispatcher.engine.fanout.schema_check_costs import SchemaCheckCosts
from dispatcher.engine.ownership.lease import Lease
from dispatcher.schema_validation.validate import Rejection
from dispatcher.schema_validation.worker import Sandbox, SandboxUnavailableError
from dispatcher.store.bisection import bisect
from dispatcher.store.data_errors import describe
from dispatcher.store.queries.unvalidated_events import UnvalidatedEvents, Waiting
from dispatcher.telemetry import observe

EVENTS_LIMIT = 100
"""Events that one statement reads, or moves; READ_LIMIT_BYTES bounds their data."""
READ_LIMIT_BYTES = 2**20
"""Bytes of data read at once; a single event may be larger."""
PASS_SECONDS = 0.1
"""Longest time of checks in a pass: then the checked events are moved before more are checked."""
HEAD_START_SECONDS = 0.05
"""Seconds between a wake-up and the read. Otherwise an idle daemon would run a statement for each
ordinary event."""
IDLE_SECONDS = 10.0
"""Seconds between two reads without a wake-up: the backstop looks for events to check."""
UNAVAILABLE_SECONDS = 2.0
"""Seconds until the next pass if the process that checks schemas cannot be started."""


class Rejected(NamedTuple):
    """An event that goes to quarantine."""

    event_id: int
    reason: str
    detail: str


@dataclass(slots=True)
class Checked:
    """The results of a pass: the ids of valid events, and the events that go to quarantine."""

    valid: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def ids(self) -> set[int]:
        return {*self.valid, *(event.event_id for event in self.rejected)}


class SchemaCheck:
    """The stage that checks events. It owns the sandbox, which `close` ends."""

    def __init__(self, events: UnvalidatedEvents, sandbox: Sandbox, lease: Lease) -> None:
        self._events = events
        self._sandbox = sandbox
        self._lease = lease
        self._is_busy = False
        self._order = FairOrder()
        self._costs = SchemaCheckCosts()

    async def run_once(self) -> float:
        """Check waiting events for one pass, and return the seconds to the next.

        Raise StoreError or StatementTimeoutError; events that were not moved are checked again.
        """
        if not self._is_busy:
            await asyncio.sleep(HEAD_START_SECONDS)
        slice_ = self._order.next_slice(monotonic())
        waiting = await self._waiting(slice_)
        self._is_busy = bool(waiting or slice_.excluded_environments)
        checked = Checked()
        wait = 0.0 if self._is_busy else IDLE_SECONDS
        try:
            if waiting:
                await self._check(waiting, checked)
        except SandboxUnavailableError as error:
            observe.events.schema_checks_unavailable(error)
            wait = UNAVAILABLE_SECONDS
        if waiting:
            await self._move(checked)
        self._note_pass(slice_, waiting, checked.ids)
        return wait

    async def close(self) -> None:
        """End the process that checks schemas."""
        await self._sandbox.close()

    def _note_pass(self, slice_: Slice, waiting: Sequence[Waiting], checked: set[int]) -> None:
        """Choose the next slice: if more wait, environments without a checked event are next."""
        left = [event.id for event in waiting if event.id not in checked]
        last_id = left[0] - 1 if left else waiting[-1].id if waiting else None
        self._order.note_taken(
            slice_,
            last_id=last_id,
            more=bool(left) or len(waiting) == EVENTS_LIMIT,
            crowding={event.environment_id for event in waiting if event.id in checked},
        )

    async def _waiting(self, slice_: Slice) -> Sequence[Waiting]:
        owned = sorted(self._lease.owned)
        if not owned:
            return ()
        return await self._events.waiting(
            EVENTS_LIMIT,
            owned,
            after_id=slice_.after_id,
            excluded_environments=slice_.excluded_environments,
        )

    async def _check(self, waiting: Sequence[Waiting], checked: Checked) -> None:
        """Check as many events as fit into PASS_SECONDS, at least one; add them to `checked`.

        Environments whose checks are cheap come first, and each has a part of the time.
        """
        checked.valid += [event.id for event in waiting if event.schema is None]
        unchecked = [event for event in waiting if event.schema is not None]
        data = await self._read_data([event.id for event in unchecked], checked.rejected)
        unreadable = {event.event_id for event in checked.rejected}
        began = monotonic()
        self._costs.begin_pass()
        for event in self._costs.cheapest_first(unchecked):
            if event.id in unreadable or self._costs.has_spent_its_part(event.environment_id):
                continue
            if event.id not in data:
                # The event is gone: its deliveries are cancelled when they are to be sent.
                checked.valid.append(event.id)
            elif (text := data[event.id]) is not None:
                await self._check_event(event, text, checked)
            if monotonic() - began > PASS_SECONDS:
                break

    async def _check_event(self, event: Waiting, data: str, checked: Checked) -> None:
        """Check one event, add it to `checked`, and note the time for its environment."""
        began = monotonic()
        rejection = await self._validate(event, data)
        if rejection is None:
            checked.valid.append(event.id)
        else:
            checked.rejected.append(Rejected(event.id, rejection.reason, rejection.detail))
        self._costs.note_check(event.environment_id, monotonic() - began)

    async def _read_data(
        self, ids: Sequence[int], rejected: list[Rejected]
    ) -> Mapping[int, str | None]:
        """Return the data by event id, None if it was left for the next pass.

        Events whose data cannot be read are added to `rejected`. A missing event has no key.
        """
        data: dict[int, str | None] = {}

        async def read(batch: Sequence[int]) -> None:
            data.update(await self._events.with_data(batch, READ_LIMIT_BYTES))

        def reject(event_id: int, error: Exception) -> None:
            rejected.append(Rejected(event_id, "unreadable", describe(error)))

        await bisect(ids, read, reject)
        return data

    async def _validate(self, event: Waiting, data: str) -> Rejection | None:
        """Return why the event is rejected, None if its data fits the schema."""
        schema = event.schema or "true"
        if self._costs.is_suspended(event, schema, monotonic()):
            detail = "the check of another event of this type was too expensive a moment ago"
            return Rejection("too_expensive", detail)
        try:
            rejection = await self._sandbox.validate(schema, data)
        except SandboxUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one broken check must not block other events
            observe.events.schema_check_failed(event.id, error)
            rejection = Rejection("check_failed", f"the check failed: {type(error).__name__}")
        is_too_expensive = rejection is not None and rejection.reason == "too_expensive"
        self._costs.note_result(event, schema, monotonic(), is_too_expensive=is_too_expensive)
        return rejection

    async def _move(self, checked: Checked) -> None:
        """Move the checked events; quarantine those that the database refuses to move."""
        results: list[tuple[int, Rejected | None]] = [(event, None) for event in checked.valid]
        results += [(event.event_id, event) for event in checked.rejected]

        async def move(batch: Sequence[tuple[int, Rejected | None]]) -> None:
            valid = [event_id for event_id, rejected in batch if rejected is None]
            rejected = [rejected for _, rejected in batch if rejected is not None]
            for event_id, reason in await self._events.move(valid, rejected):
                observe.events.quarantined(event_id, reason)

        refused: list[Rejected] = []

        def refuse(result: tuple[int, Rejected | None], error: Exception) -> None:
            refused.append(Rejected(result[0], "fan_out_failed", describe(error)))

        await bisect(results, move, refuse)
        for event in refused:
            await move([(event.event_id, event)])
