"""The table of maintenance: one step that fails keeps no other from its turn."""

from collections.abc import Awaitable, Callable

import pytest

from dispatcher.engine.upkeep import maintenance
from dispatcher.engine.upkeep.maintenance import Maintenance, Step
from dispatcher.store.errors import StatementTimeoutError, StoreUnavailableError
from dispatcher.telemetry import metrics

HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(maintenance, "monotonic", clock)
    return clock


class Table:
    """Steps that note when they ran, and raise or go on as scripted."""

    def __init__(self, *names: str) -> None:
        self.ran: list[str] = []
        self.raises: dict[str, Exception] = {}
        self.more: set[str] = set()
        self.is_clock_set = True
        self.maintenance = Maintenance(
            [Step(n, self._run(n), HOUR) for n in names], is_clock_set=lambda: self.is_clock_set
        )

    def _run(self, name: str) -> Callable[[], Awaitable[bool]]:
        async def run() -> bool:
            self.ran.append(name)
            if name in self.raises:
                raise self.raises[name]
            return name in self.more

        return run

    async def run_once(self) -> list[str]:
        self.ran.clear()
        await self.maintenance.run_once()
        return list(self.ran)


def failures(step: str) -> float:
    name = "dispatcher_maintenance_failures_total"
    return metrics.REGISTRY.get_sample_value(name, {"step": step}) or 0.0


@pytest.mark.parametrize("error", [StatementTimeoutError("late"), ValueError("a value")])
async def test_a_failing_step_does_not_stop_the_others(clock: Clock, error: Exception) -> None:
    table = Table("first", "second", "third")
    table.raises["first"] = error
    before = failures("first")
    assert await table.run_once() == ["first", "second", "third"]
    assert failures("first") == before + 1
    tries = 0
    for _ in range(1000):
        clock.now += 3.7
        tries += len(await table.run_once())
    assert tries - 2 in range(10, 14), "it is tried again later and later; the others once an hour"


async def test_without_a_database_the_next_pass_begins_with_the_next_step(
    clock: Clock,
) -> None:
    table = Table("first", "second")
    table.raises["first"] = StoreUnavailableError("a lock that cannot be had")
    with pytest.raises(StoreUnavailableError):
        await table.run_once()
    assert table.ran == ["first"]
    assert await table.run_once() == ["second"]


async def test_a_step_with_more_work_runs_again_at_once(clock: Clock) -> None:
    table = Table("first", "second")
    table.more.add("first")
    assert [await table.run_once() for _ in range(3)] == [["first", "second"], ["first"], ["first"]]
    assert await table.maintenance.run_once() == 0.0
    table.more.clear()
    assert await table.run_once() == ["first"]
    assert await table.run_once() == []
    clock.now += HOUR
    assert await table.run_once() == ["first", "second"]


async def test_no_step_runs_before_the_databases_time_is_known(clock: Clock) -> None:
    table = Table("first", "second")
    table.is_clock_set = False
    assert await table.run_once() == []
    assert 0.0 < await table.maintenance.run_once() < 1.0
    table.is_clock_set = True
    assert await table.run_once() == ["first", "second"]
