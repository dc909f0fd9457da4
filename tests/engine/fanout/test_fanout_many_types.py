"""Fan-out of events of many types for many endpoints, where most look-ups would be for nothing."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dispatcher.engine.clock import Clock
from dispatcher.engine.fanout import fanout as fanout_module
from dispatcher.engine.fanout.fanout import Fanout
from dispatcher.engine.ownership.lease import Lease
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.inbox import FannedOut, Inbox

NOTHING = FannedOut(0, None, 0, [], set())
EVENTS = 2_000
ENDPOINTS = 1_000
LOOKUPS_IN_TIME = 300_000
"""Endpoints that a statement can look up before its timeout."""
PASSES = 1_000


class ManyTypes:
    """Events of one type each, for ENDPOINTS each."""

    def __init__(self) -> None:
        self.left = EVENTS
        self.lookups = 0
        self.timeouts = 0

    async def fan_out_plain(self, *, limit: int, deliveries_limit: int, **_: object) -> FannedOut:
        seen = self._look(limit)
        if seen * ENDPOINTS <= deliveries_limit:
            return self._take(seen, seen)
        return replace(NOTHING, is_unusual=True)

    async def fan_out(
        self, *, limit: int, deliveries_limit: int, excluded_environments: Any, **_: object
    ) -> FannedOut:
        if excluded_environments:
            return NOTHING
        seen = self._look(limit)
        return self._take(seen, min(seen, deliveries_limit // ENDPOINTS))

    async def first(self, *, up_to: int, **_: object) -> tuple[int | None, int]:
        return EVENTS - self.left + 1, up_to

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        return 0

    async def promise_polling(self, milliseconds: int) -> None:
        """Nothing to do."""

    def _look(self, limit: int) -> int:
        seen = min(limit, self.left)
        self.lookups += min(LOOKUPS_IN_TIME, seen * ENDPOINTS)
        if seen * ENDPOINTS > LOOKUPS_IN_TIME:
            self.timeouts += 1
            raise StatementTimeoutError("too many endpoints")
        return seen

    def _take(self, seen: int, chosen: int) -> FannedOut:
        self.left -= chosen
        last = EVENTS - self.left
        return FannedOut(chosen, last, 0, [], set(), seen=seen, chosen=chosen, crowding=("a",))


async def _admit(*_: Any, **__: Any) -> bool:
    return False


async def test_after_a_timeout_statements_look_at_few_more_events_than_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = iter(range(10**9))
    monkeypatch.setattr(fanout_module, "monotonic", lambda: next(passed) / 100)
    inbox = ManyTypes()
    stage = Fanout(
        cast("Inbox", inbox),
        cast("Lease", SimpleNamespace(owned={1}, daemon=7, is_valid=True)),
        Clock(),
        reading=lambda: nullcontext(set()),
        admit=_admit,
        saturated=lambda coming: [],
        keep_events=lambda events: None,
        backlog=lambda: False,
    )
    for _ in range(PASSES):
        if inbox.left:
            await stage.run_once()
    assert (inbox.left, inbox.timeouts) == (0, 1)
    assert inbox.lookups <= 4 * EVENTS * ENDPOINTS
