"""Stages run in tasks of their own: some end the daemon with their errors, others go on."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog.testing

from dispatcher.engine.stages import stage_health
from dispatcher.engine.stages.stage_runner import Stage, StageRunner
from dispatcher.store.errors import StoreUnavailableError


class Passes:
    """Passes that raise the given errors, and then succeed; `succeeded` is set by a success."""

    def __init__(self, *errors: Exception) -> None:
        self._errors: Iterator[Exception] = iter(errors)
        self.succeeded = asyncio.Event()

    async def run_once(self) -> float:
        await asyncio.sleep(0)
        if error := next(self._errors, None):
            raise error
        self.succeeded.set()
        return 60.0


async def run_until_success(runner: StageRunner, passes: Passes, *, ends_daemon: bool) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = runner.start(group, Stage("stage", passes.run_once, ends_daemon=ends_daemon))
        await passes.succeeded.wait()
        task.cancel()


@pytest.mark.parametrize("ends_daemon", [False, True])
async def test_every_stage_goes_on_after_an_error_of_the_database(ends_daemon: bool) -> None:
    passes = Passes(StoreUnavailableError("away"))
    await run_until_success(StageRunner(), passes, ends_daemon=ends_daemon)


async def test_a_stage_without_deliveries_goes_on_after_any_error() -> None:
    with structlog.testing.capture_logs() as lines:
        await run_until_success(StageRunner(), Passes(LookupError("bug")), ends_daemon=False)
    (line,) = [line for line in lines if line["event"] == "stage failed"]
    assert (line["stage"], line["error"]) == ("stage", "LookupError")


async def test_an_unexpected_error_of_a_stage_with_deliveries_ends_the_group() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await run_until_success(StageRunner(), Passes(LookupError("bug")), ends_daemon=True)
    assert raised.value.subgroup(LookupError) is not None


async def test_a_stage_without_progress_is_logged_when_that_begins_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage_health, "PATIENCE_SECONDS", -1.0)
    runner, release = StageRunner(), asyncio.Event()

    async def stuck_once() -> float:
        await release.wait()
        return 60.0

    with structlog.testing.capture_logs() as lines:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = runner.start(group, Stage("stage", stuck_once))
            await asyncio.sleep(0)
            runner.log_changes()
            assert set(runner.failing()) == {"stage"}
            runner.log_changes()
            release.set()
            for _ in range(5):
                await asyncio.sleep(0)  # the turns of the loop that the pass needs to end
            assert not runner.failing()
            runner.log_changes()
            task.cancel()
    assert [line["event"] for line in lines] == ["stage makes no progress", "stage recovered"]


async def test_a_stage_without_progress_is_logged_with_its_last_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage_health, "PATIENCE_SECONDS", -1.0)
    runner, failed = StageRunner(), asyncio.Event()

    async def fail() -> float:
        failed.set()
        raise StoreUnavailableError("the server is gone")

    with structlog.testing.capture_logs() as lines:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = runner.start(group, Stage("stage", fail))
            await failed.wait()
            await asyncio.sleep(0)  # the turn in which the runner notes the failure
            runner.log_changes()
            task.cancel()
    (line,) = [line for line in lines if line["event"] == "stage makes no progress"]
    assert (line["stage"], line["error"]) == ("stage", "the server is gone")
