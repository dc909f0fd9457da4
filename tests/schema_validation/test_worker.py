"""The confined process may hang, grow or die: the caller still has an answer."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator

import pytest

from dispatcher.schema_validation import worker as module
from dispatcher.schema_validation.worker import Sandbox, SandboxUnavailableError
from tests.waiting import until

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


def child_of(parent: asyncio.subprocess.Process) -> int:
    with open(f"/proc/{parent.pid}/task/{parent.pid}/children") as file:
        return int(file.read())


def is_running(pid: int) -> bool:
    """Return True unless the process has ended, also if its exit code was not read yet."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


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


@pytest.mark.long
async def test_a_check_that_does_not_end_costs_its_time_limit_and_no_more(sandbox: Sandbox) -> None:
    async with asyncio.timeout(30):
        rejection = await sandbox.validate(ENDLESS, "1")
    assert rejection is not None
    assert rejection.reason == "too_expensive"
    assert await sandbox.validate("{}", "1") is None


@pytest.mark.long
async def test_the_daemon_starts_no_process_for_one_that_a_check_ended(sandbox: Sandbox) -> None:
    await sandbox.validate("{}")
    first = process(sandbox)
    for schema, data in ((ENDLESS, "1"), ("{}", f"[{'{},' * 16_000_000}1]")):
        assert await sandbox.validate(schema, data) is not None
        assert await sandbox.validate("{}", "1") is None
        assert process(sandbox) is first


async def test_a_child_that_was_killed_is_replaced(sandbox: Sandbox) -> None:
    await sandbox.validate("{}")
    first = process(sandbox)
    os.kill(child_of(first), signal.SIGKILL)
    assert await sandbox.validate('{"type":"string"}', '"x"') is None
    assert process(sandbox) is first


@pytest.mark.long
async def test_data_that_swells_beyond_the_memory_allowed_costs_too_much(
    sandbox: Sandbox,
) -> None:
    rejection = await sandbox.validate("{}", f"[{'{},' * 16_000_000}1]")
    assert rejection is not None
    assert rejection.reason == "too_expensive"
    assert await sandbox.validate("{}", "1") is None


async def test_a_process_that_was_killed_is_replaced(sandbox: Sandbox) -> None:
    await sandbox.validate("{}")
    os.killpg(process(sandbox).pid, signal.SIGKILL)
    assert await sandbox.validate('{"type":"string"}', '"x"') is None


async def test_a_frozen_process_is_given_up(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_LIMIT_SECONDS", 0.2)
    monkeypatch.setattr(module, "END_LIMIT_SECONDS", 0.1)
    await sandbox.validate("{}")
    os.killpg(process(sandbox).pid, signal.SIGSTOP)
    assert await sandbox.validate("{}") is None


async def test_a_process_out_of_idle_time_rejects_no_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWER_LIMIT_SECONDS", 0.2)
    monkeypatch.setattr(module, "END_LIMIT_SECONDS", 0.1)
    async with Sandbox(is_idle=True) as sandbox:
        await sandbox.validate("{}")
        os.killpg(process(sandbox).pid, signal.SIGSTOP)
        with pytest.raises(SandboxUnavailableError, match="too busy"):
            await sandbox.validate("{}")


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="the policy is of Linux")
@pytest.mark.parametrize(("is_idle", "policy"), [(True, "SCHED_IDLE"), (False, "SCHED_OTHER")])
async def test_only_an_idle_process_yields_the_processor(*, is_idle: bool, policy: str) -> None:
    async with Sandbox(is_idle=is_idle) as sandbox:
        await sandbox.validate("{}")
        both = (process(sandbox).pid, child_of(process(sandbox)))
        policies = {os.sched_getscheduler(pid) for pid in both}
        inherited = os.sched_getscheduler(0)
    assert policies == {getattr(os, policy) if is_idle else inherited}


async def test_a_system_that_refuses_to_let_it_yield_does_not_stop_the_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    async with Sandbox(is_idle=True) as sandbox:
        assert await sandbox.validate("{}", "1") is None


async def test_the_number_of_a_process_that_ended_is_not_used_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sandbox.validate("{}")
    ended = process(sandbox)
    os.killpg(ended.pid, signal.SIGKILL)
    await ended.wait()
    killed: list[int] = []
    killpg = os.killpg

    def kill(number: int, sent: int) -> None:
        killed.append(number)
        killpg(number, sent)

    monkeypatch.setattr(os, "killpg", kill)
    assert await sandbox.validate("{}", "1") is None
    assert killed == []


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
    async with asyncio.timeout(30):
        assert await ending.wait() == 0
    await sandbox.close()


async def test_closing_ends_the_worker(sandbox: Sandbox) -> None:
    await sandbox.validate("{}")
    pid, child = process(sandbox).pid, child_of(process(sandbox))
    await sandbox.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await until(lambda: not is_running(child), "its child is gone too")


async def test_a_process_that_cannot_start_rejects_no_data(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("/nonexistent/python", "/bin/false"):
        monkeypatch.setattr("sys.executable", program)
        with pytest.raises(SandboxUnavailableError):
            await sandbox.validate("{}", "1")
