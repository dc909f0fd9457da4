"""The confined process may hang, grow or die: the caller still has an answer."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator

import pytest

from dispatcher.schema_validation import worker as module
from dispatcher.schema_validation.worker import Sandbox, SandboxUnavailableError

DOUBLED = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(100)}
ENDLESS = json.dumps({"$defs": {**DOUBLED, "a100": {}}, "$ref": "#/$defs/a0"})
"""A small schema of 2^100 steps."""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as opened:
        yield opened


def process(sandbox: Sandbox) -> asyncio.subprocess.Process:
    assert sandbox._process is not None
    return sandbox._process


async def test_the_worker_gives_the_same_results_as_the_function(sandbox: Sandbox) -> None:
    assert await sandbox.validate('{"type":"string"}') is None
    assert await sandbox.validate('{"type":"string"}', '"é"') is None
    rejection = await sandbox.validate('{"type":"string"}', "1")
    assert rejection is not None
    assert (rejection.reason, rejection.detail) == (
        "schema",
        'data: the value is not of type "string"',
    )
    unusable = await sandbox.validate('{"type":"strinG"}')
    assert unusable is not None
    assert unusable.reason == "schema_unusable"


async def test_a_schema_without_end_costs_its_time_and_no_more(sandbox: Sandbox) -> None:
    async with asyncio.timeout(10):
        rejection = await sandbox.validate(ENDLESS, "1")
    assert rejection is not None
    assert rejection.reason == "too_expensive"
    assert await sandbox.validate("{}", "1") is None


async def test_data_that_swells_beyond_the_memory_allowed_costs_too_much(
    sandbox: Sandbox,
) -> None:
    rejection = await sandbox.validate("{}", f"[{'{},' * 16_000_000}1]")
    assert rejection is not None
    assert rejection.reason == "too_expensive"
    assert await sandbox.validate("{}", "1") is None


async def test_a_process_that_was_killed_is_replaced(sandbox: Sandbox) -> None:
    await sandbox.validate("{}")
    process(sandbox).kill()
    assert await sandbox.validate('{"type":"string"}', '"x"') is None


async def test_a_frozen_process_is_given_up(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_LIMIT", 0.2)
    monkeypatch.setattr(module, "END_LIMIT", 0.1)
    await sandbox.validate("{}")
    process(sandbox).send_signal(signal.SIGSTOP)
    assert await sandbox.validate("{}") is None


async def test_a_process_out_of_idle_time_rejects_no_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWER_LIMIT", 0.2)
    monkeypatch.setattr(module, "END_LIMIT", 0.1)
    async with Sandbox(is_idle=True) as sandbox:
        await sandbox.validate("{}")
        process(sandbox).send_signal(signal.SIGSTOP)
        with pytest.raises(SandboxUnavailableError, match="too busy"):
            await sandbox.validate("{}")


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="the policy is of Linux")
@pytest.mark.parametrize(("is_idle", "policy"), [(True, "SCHED_IDLE"), (False, "SCHED_OTHER")])
async def test_only_an_idle_process_yields_the_processor(*, is_idle: bool, policy: str) -> None:
    async with Sandbox(is_idle=is_idle) as sandbox:
        await sandbox.validate("{}")
        of_child = os.sched_getscheduler(process(sandbox).pid)
        inherited = os.sched_getscheduler(0)
    assert of_child == (getattr(os, policy) if is_idle else inherited)


async def test_a_cancelled_check_leaves_no_partial_answer(sandbox: Sandbox) -> None:
    await sandbox.validate("{}")  # the process has started
    asking = asyncio.create_task(sandbox.validate(ENDLESS, "1"))
    await asyncio.sleep(0)  # the question is written
    asking.cancel()
    await asyncio.wait([asking])
    rejection = await sandbox.validate('{"type":"string"}', "1")
    assert rejection is not None
    assert rejection.reason == "schema"


async def test_the_worker_gets_no_secrets_and_can_open_no_file(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_SECRETS__KEY", "hunter2")
    await sandbox.validate("{}")
    proc = f"/proc/{process(sandbox).pid}"
    with open(f"{proc}/environ", "rb") as environ, open(f"{proc}/limits") as limits:  # noqa: ASYNC230 - of no length
        assert b"hunter2" not in environ.read()
        assert [line.split()[3] for line in limits if line.startswith("Max open files")] == ["0"]


async def test_the_worker_ends_with_its_parent() -> None:
    sandbox = Sandbox()
    await sandbox.validate("{}")
    ending = process(sandbox)
    assert ending.stdin is not None
    ending.stdin.close()
    async with asyncio.timeout(5):
        assert await ending.wait() == 0
    await sandbox.close()


async def test_closing_ends_it(sandbox: Sandbox) -> None:
    await sandbox.validate("{}")
    pid = process(sandbox).pid
    await sandbox.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_process_that_cannot_start_rejects_no_data(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("/nonexistent/python", "/bin/false"):
        monkeypatch.setattr("sys.executable", program)
        with pytest.raises(SandboxUnavailableError):
            await sandbox.validate("{}", "1")
