"""Environments alternate when their events are compared with a schema."""

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from dispatcher.engine.fanout import schema_check
from dispatcher.engine.fanout.schema_check import SchemaCheck
from dispatcher.engine.ownership.lease import Lease
from dispatcher.schema_validation.worker import Sandbox
from dispatcher.store.queries.unvalidated_events import UnvalidatedEvents, Waiting

EXPENSIVE_SECONDS = 0.9
CHEAP_SECONDS = 0.001
LOOKS_LIMIT = 2_000


class Stage:
    """A table of unvalidated events, and a sandbox whose checks take time by a clock of their own."""

    def __init__(self, events: str) -> None:
        """A letter is an event of that environment; upper case: one that costs just under the limit."""
        self.rows = {
            number: Waiting(number, letter, "a.b", letter)
            for number, letter in enumerate(events, start=1)
        }
        self.now = 1000.0
        self.order = ""
        self.moved_at: dict[str, float] = {}

    async def waiting(
        self,
        limit: int,
        shards: Collection[int],
        *,
        after_id: int = 0,
        excluded_environments: Collection[str] = (),
    ) -> Sequence[Waiting]:
        rows = [row for row in self.rows.values() if row.id > after_id]
        return [row for row in rows if row.environment_id not in excluded_environments][:limit]

    async def with_data(self, ids: Collection[int], size: int) -> Mapping[int, str | None]:
        return dict.fromkeys(ids, "{}")

    async def validate(self, schema: str, data: str) -> None:
        self.order += schema
        self.now += EXPENSIVE_SECONDS if schema.isupper() else CHEAP_SECONDS

    async def move(
        self, passed: Collection[int], refused: Collection[tuple[int, str, str]]
    ) -> Sequence[tuple[int, str]]:
        for number in passed:
            self.moved_at.setdefault(self.rows.pop(number).environment_id, self.now - 1000.0)
        return ()

    async def run(self) -> None:
        lease = SimpleNamespace(owned=frozenset({1}))
        stage = SchemaCheck(cast(UnvalidatedEvents, self), cast(Sandbox, self), cast(Lease, lease))
        for _ in range(LOOKS_LIMIT):
            if await stage.run_once() and not self.rows:
                return
        raise AssertionError(f"{len(self.rows)} events still wait")


async def checked(monkeypatch: pytest.MonkeyPatch, events: str) -> Stage:
    stage = Stage(events)
    monkeypatch.setattr(schema_check, "monotonic", lambda: stage.now)
    monkeypatch.setattr(schema_check, "HEAD_START_SECONDS", 0.0)
    await stage.run()
    return stage


@pytest.mark.parametrize("expensive", [50, 350])
async def test_an_expensive_schema_delays_no_other_environment(
    monkeypatch: pytest.MonkeyPatch, expensive: int
) -> None:
    stage = await checked(monkeypatch, "A" * expensive + "b" * 3)
    assert stage.order[:4] == "Abbb"
    assert stage.moved_at["b"] < 2 * EXPENSIVE_SECONDS


async def test_several_environments_with_expensive_schemas_alternate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = await checked(monkeypatch, "A" * 20 + "B" * 20 + "C" * 20 + "d")
    assert set(stage.order[:4]) == set("ABCd")


async def test_many_cheap_checks_delay_no_expensive_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = await checked(monkeypatch, "A" + "bc" * 1000 + "A")
    assert stage.order.rindex("A") < 1000


async def test_an_environments_events_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await checked(monkeypatch, "Ab" * 60)
    assert sorted(stage.order) == sorted("Ab" * 60)
    assert stage.rows == {}
