"""One worker for all environments: whose schema is checked next, and when no more may wait."""

import asyncio

import pytest

from dispatcher.schema_validation import checks as checks_module
from dispatcher.schema_validation import worker
from dispatcher.schema_validation.checks import SchemaChecks, SchemaChecksBusyError
from dispatcher.schema_validation.validate import Rejection
from dispatcher.schema_validation.worker import SandboxUnavailableError


async def test_environments_take_turns_at_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def validate(_: object, schema: str, data: str | None = None) -> Rejection | None:
        asked.append(schema)
        await asyncio.sleep(0)
        return None

    asked: list[str] = []
    monkeypatch.setattr(worker.Sandbox, "validate", validate)
    checks = SchemaChecks()
    await asyncio.gather(
        *(checks.validate("env_a", f"a{n}") for n in range(4)), checks.validate("env_b", "b0")
    )
    assert asked.index("b0") <= 2


async def test_checks_beyond_the_waiting_places_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def validate(_: object, schema: str, data: str | None = None) -> Rejection | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(worker.Sandbox, "validate", validate)
    checks = SchemaChecks()
    first = [
        asyncio.create_task(checks.validate("env_a", "true"))
        for _ in range(1 + checks_module.WAITING_OF_ONE_LIMIT)
    ]
    await asyncio.sleep(0)
    with pytest.raises(SchemaChecksBusyError):
        await checks.validate("env_a", "true")
    for task in first:
        task.cancel()
    await asyncio.gather(*first, return_exceptions=True)


async def test_after_a_costly_check_the_environment_rests_and_others_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def validate(sandbox: worker.Sandbox, schema: str, _: str | None = None) -> None:
        sandbox.used_seconds = 1.0 if schema == "costly" else 0.0
        checked.append(schema)

    checked: list[str] = []
    monkeypatch.setattr(worker.Sandbox, "validate", validate)
    monkeypatch.setattr(checks_module, "REST_SECONDS", 0.2)
    checks = SchemaChecks()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await checks.validate("env_a", "costly")
    again = asyncio.create_task(checks.validate("env_a", "cheap of a"))
    await asyncio.sleep(0)
    await checks.validate("env_b", "cheap of b")
    await again
    assert checked == ["costly", "cheap of b", "cheap of a"]
    assert loop.time() - began >= 0.19
    await checks.validate("env_a", "after a cheap one")


async def test_the_worker_lives_on_from_one_check_to_the_next() -> None:
    checks = SchemaChecks()
    try:
        assert await checks.validate("env_a", "true", "1") is None
        first = checks._sandbox._process
        rejection = await checks.validate("env_b", "false", "1")
        assert rejection is not None
        assert checks._sandbox._process is first
    finally:
        await checks.close()


async def test_a_worker_that_cannot_bound_itself_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = (
        "import resource\n"
        "def refuse(*_): raise OSError('not permitted')\n"
        "resource.setrlimit = refuse\n"
        "from dispatcher.schema_validation import worker\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(worker, "_ARGUMENTS", ("-P", "-c", program))
    checks = SchemaChecks()
    with pytest.raises(SandboxUnavailableError, match="RLIMIT_AS"):
        await checks.validate("env_a", "true")
    await checks.close()
