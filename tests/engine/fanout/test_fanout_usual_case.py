"""The fan-out begins with the statement for the usual case, and leaves it while that does not fit."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dispatcher.engine.clock import Clock as DatabaseClock
from dispatcher.engine.fanout import fanout as fanout_module
from dispatcher.engine.fanout.fanout import UNUSUAL_SECONDS, Fanout
from dispatcher.engine.ownership.lease import Lease
from dispatcher.store.queries.inbox import FannedOut, Inbox

NOTHING = FannedOut(0, None, 0, [], set())
UNUSUAL = FannedOut(0, None, 0, [], set(), is_unusual=True)


class Empty:
    """An empty inbox that notes which statements look at it."""

    def __init__(self) -> None:
        self.is_usual = True
        self.looks: list[str] = []

    async def fan_out_plain(self, **_: object) -> FannedOut:
        self.looks.append("usual")
        return NOTHING if self.is_usual else UNUSUAL

    async def fan_out(self, **_: object) -> FannedOut:
        self.looks.append("any")
        return NOTHING

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        return 0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_usual_case_is_tried_again_a_second_after_it_did_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, inbox = Clock(), Empty()
    monkeypatch.setattr(fanout_module, "monotonic", clock)

    async def admit(*_: Any, **__: Any) -> bool:
        return False

    stage = Fanout(
        cast("Inbox", inbox),
        cast("Lease", SimpleNamespace(owned={1}, daemon=7, is_valid=True)),
        DatabaseClock(),
        reading=lambda: nullcontext(set()),
        admit=admit,
        saturated=lambda coming: [],
        keep_events=lambda events: None,
        backlog=lambda: False,
    )
    await stage.run_once()
    inbox.is_usual = False
    await stage.run_once()
    inbox.is_usual = True
    await stage.run_once()
    clock.now += UNUSUAL_SECONDS
    await stage.run_once()
    assert inbox.looks == ["usual", "usual", "any", "any", "usual"]
