"""A shard that another daemon has taken over says nothing about the inbox."""

from contextlib import nullcontext
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

from dispatcher.core.ids import LARGEST_ID
from dispatcher.engine.clock import Clock
from dispatcher.engine.fanout.fanout import Fanout
from dispatcher.engine.ownership.lease import Lease
from dispatcher.store.queries.inbox import FannedOut, Inbox

LATE = 500
"""An event that was committed late, below the mark."""
NOTHING = FannedOut(0, None, 0, [], set())
LOST = FannedOut(0, None, 0, [], set(), is_lost=True)
UNUSUAL = FannedOut(0, None, 0, [], set(), is_unusual=True)


class Late:
    """An inbox whose only event lies below the mark."""

    def __init__(self) -> None:
        self.lost = False
        self.taken: list[int] = []

    async def first(self, *, after_id: int, up_to: int, **_: object) -> tuple[int | None, int]:
        is_found = after_id < LATE <= up_to and not self.taken
        return (LATE if is_found else None), up_to

    async def fan_out(self, *, after_id: int, up_to: int, **_: object) -> FannedOut:
        if up_to == LARGEST_ID or self.taken:
            return NOTHING
        if self.lost:
            return LOST
        self.taken.append(LATE)
        return FannedOut(1, LATE, 0, [], set(), seen=1)

    async def fan_out_plain(self, **_: object) -> FannedOut:
        return UNUSUAL

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        return 1_000

    async def promise_polling(self, milliseconds: int) -> None: ...


def fanout(inbox: Late) -> Fanout:
    async def admit(*_: Any, **__: Any) -> bool:
        return False

    lease = SimpleNamespace(owned={1}, daemon=7, is_valid=True)
    return Fanout(
        cast("Inbox", inbox),
        cast("Lease", lease),
        Clock(),
        reading=lambda: nullcontext(set()),
        admit=admit,
        saturated=lambda coming: [],
        keep_events=lambda events: None,
        backlog=lambda: False,
    )


async def test_an_event_found_below_the_mark_is_taken_after_the_shard_was_lost() -> None:
    inbox = Late()
    stage = fanout(inbox)
    inbox.lost = True
    while not stage._slices._found:
        await stage.run_once()
    await stage.run_once()
    inbox.lost = False
    await stage.run_once()
    assert inbox.taken == [LATE]


async def test_a_lost_shard_ends_the_pass() -> None:
    inbox = Late()
    stage = fanout(inbox)
    asked = 0

    async def lost(**_: object) -> FannedOut:
        nonlocal asked
        asked += 1
        return LOST

    inbox.fan_out = lost  # type: ignore[method-assign]
    assert await stage.run_once() > 0
    assert asked == 1


async def test_an_event_that_another_session_took_first_is_not_too_large() -> None:
    inbox = Late()
    stage = fanout(inbox)
    answers = [FannedOut(0, None, 0, [], set(), seen=1, chosen=1)]

    async def slower(**_: object) -> FannedOut:
        return answers.pop() if answers else NOTHING

    inbox.fan_out = slower  # type: ignore[method-assign]
    assert await stage.run_once() > 0
    assert answers == []
    assert not stage._slices.next_slice(monotonic()).is_oversized
