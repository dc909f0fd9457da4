"""A flood waits in the inbox while sending is behind; other environments do not."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from dispatcher.engine.fanout import pacing
from dispatcher.engine.fanout.fanout import EVENTS_LIMIT, Fanout
from dispatcher.engine.fanout.pacing import BEHIND
from dispatcher.engine.ownership.lease import Lease
from dispatcher.store.queries.inbox import FannedOut, Inbox

NOTHING = FannedOut(0, None, 0, [], set())
FLOOD = FannedOut(
    EVENTS_LIMIT, EVENTS_LIMIT, 0, [], set(), seen=EVENTS_LIMIT, crowding=("env_flood",)
)


class Flooded:
    """An inbox with a flood of one environment."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def first(self, *, up_to: int, **_: object) -> tuple[int | None, int]:
        return None, up_to

    async def fan_out_plain(self, **_: object) -> FannedOut:
        self.asked.append("all")
        return FLOOD

    async def fan_out(self, *, excluded_environments: tuple[str, ...], **_: object) -> FannedOut:
        assert excluded_environments == ("env_flood",)
        self.asked.append("others")
        return NOTHING

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        return 1

    async def promise_polling(self, milliseconds: int) -> None: ...


async def asked(*left: int) -> list[str]:
    """Return the first things asked for; `left` are the deliveries left before each of them."""

    async def admit(*_: Any, **__: Any) -> None: ...

    inbox = Flooded()
    stage = Fanout(
        cast("Inbox", inbox),
        cast(
            "Lease",
            SimpleNamespace(owned={1}, daemon=7, valid=True, database_time=lambda: 0.0),
        ),
        admit=admit,
        saturated=lambda coming: [],
        keep_events=lambda events: None,
        backlog=lambda: left[min(len(inbox.asked), len(left) - 1)],
    )
    while len(inbox.asked) < len(left):
        await stage.run_once()
    return inbox.asked[: len(left)]


async def test_a_flood_waits_while_others_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PAUSE_SECONDS", 60.0)
    seen = await asked(0, 0, 10**9, 10**8, BEHIND + 1, 0)
    assert seen == ["all", "others", "others", "others", "others", "all"]


async def test_a_flood_does_not_wait_while_few_deliveries_are_left() -> None:
    assert await asked(0, 0, 0, 0) == ["all", "others", "all", "others"]
