"""Fan-out where rows that were taken cannot be removed: they are read, and that takes time."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from dispatcher.core.ids import LARGEST_ID
from dispatcher.engine.clock import Clock
from dispatcher.engine.fanout import fanout as fanout_module
from dispatcher.engine.fanout.fanout import Fanout
from dispatcher.engine.ownership.lease import Lease
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.inbox import FannedOut, Inbox

NOW = 91_000_000_000 << 22
KEPT_FROM = NOW - (1_200_000 << 22)
READ_IN_TIME = 500_000
"""Rows that a statement can read before its timeout."""
LOOKS = 400


@dataclass
class Stuck:
    """An inbox whose last twenty minutes, 1.2 million rows, were taken under an old snapshot."""

    live: list[int]
    poison: int | None = None
    mark: int = 0
    kept: int = 1_200_000
    taken: list[int] = field(default_factory=list)
    aside: list[int] = field(default_factory=list)

    def _read(self, after_id: int, up_to: int) -> None:
        """A row is kept each millisecond."""
        low, high = max(after_id, KEPT_FROM), min(up_to, NOW)
        if max(0, high - low) * self.kept // (NOW - KEPT_FROM) > READ_IN_TIME:
            raise StatementTimeoutError("too much to read")

    def _first(self, after_id: int, up_to: int) -> int | None:
        first_id = min((id_ for id_ in self.live if after_id < id_ <= up_to), default=None)
        self._read(after_id, up_to if first_id is None else first_id)
        return first_id

    async def first(
        self, *, after_id: int, up_to: int, excluded_environments: Sequence[str] = ()
    ) -> tuple[int | None, int]:
        looked = max(after_id, min(up_to, NOW))
        return self._first(after_id, looked), looked

    async def fan_out(self, *, after_id: int, up_to: int, limit: int, **_: object) -> FannedOut:
        self._first(after_id, up_to)
        seen = sorted(id_ for id_ in self.live if after_id < id_ <= up_to)[:limit]
        if len(seen) < limit:
            self._read(seen[-1] if seen else after_id, up_to)
        else:
            self._read(after_id, seen[-1])
        if self.poison in seen:
            raise StatementTimeoutError("it takes very long")
        self.live = [id_ for id_ in self.live if id_ not in seen]
        self.taken += seen
        return FannedOut(len(seen), max(seen, default=None), 0, [], set(), seen=len(seen))

    async def fan_out_plain(self, *, after_id: int, limit: int, **_: object) -> FannedOut:
        return await self.fan_out(after_id=after_id, up_to=LARGEST_ID, limit=limit)

    async def fan_out_slice(self, *, after_id: int, up_to: int, **_: object) -> FannedOut:
        return await self.fan_out(after_id=after_id, up_to=up_to, limit=1)

    async def raise_mark(self, taken: int, clear: int = 0) -> int:
        self.mark = max(self.mark, min(taken, NOW - (60_000 << 22)))
        return self.mark

    async def quarantine(self, reason: str, detail: str, inbox_id: int) -> list[dict[str, Any]]:
        self.live.remove(inbox_id)
        self.aside.append(inbox_id)
        return [{"event_id": inbox_id, "environment_id": "env_default"}]

    async def promise_polling(self, milliseconds: int) -> None:
        """Nothing to do."""


async def _admit(
    deliveries: Sequence[object], *, parked: Collection[UUID], stale: Collection[int | UUID]
) -> bool:
    """Nothing was parked."""
    return False


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves a hundredth of a second with each look at it."""
    passed = iter(range(10**9))
    monkeypatch.setattr(fanout_module, "monotonic", lambda: next(passed) / 100)


async def looked(inbox: Stuck) -> None:
    lease = SimpleNamespace(owned=frozenset({1}), is_valid=True, daemon=7)
    fanout = Fanout(
        cast(Inbox, inbox),
        cast(Lease, lease),
        Clock(),
        reading=lambda: nullcontext(set()),
        admit=_admit,
        saturated=lambda coming: (),
        keep_events=lambda events: None,
        backlog=lambda: False,
    )
    for _ in range(LOOKS):
        await fanout.run_once()


NEW = [NOW + n for n in range(-5000, 0, 1000)]


async def test_new_events_are_fanned_out_behind_rows_that_take_too_long_to_read() -> None:
    inbox = Stuck(list(NEW))
    await looked(inbox)
    assert (sorted(inbox.taken), inbox.aside) == (NEW, [])


async def test_a_daemon_that_starts_at_the_mark_reads_nothing_twice() -> None:
    inbox = Stuck(list(NEW), mark=NOW - (60_000 << 22))
    await looked(inbox)
    assert (inbox.taken, inbox.aside) == (NEW, [])


@pytest.mark.parametrize("mark", [0, NOW - (60_000 << 22)])
async def test_late_commits_are_found_among_kept_rows(mark: int) -> None:
    late = [5, KEPT_FROM + 12_345, NOW - (600_000 << 22), NOW - (61_000 << 22)]
    inbox = Stuck(late + NEW, mark=mark)
    await looked(inbox)
    assert (sorted(inbox.taken), inbox.aside) == (late + NEW, [])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("mark", [0, NOW - (60_000 << 22)])
async def test_only_the_event_that_takes_too_long_is_quarantined(mark: int, late: bool) -> None:
    before = [NOW - (600_000 << 22), NOW - (599_000 << 22), NOW - (598_000 << 22)]
    poison = before[1] if late else NEW[2]
    inbox = Stuck(before + NEW, mark=mark, poison=poison)
    await looked(inbox)
    assert inbox.aside == [poison]
    assert sorted([*inbox.taken, poison]) == before + NEW
