"""What one environment does to the admin port, others do not notice."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from dispatcher.schema_validation import checks
from dispatcher.schema_validation.validate import Rejection
from dispatcher.schema_validation.worker import Sandbox, SandboxUnavailableError
from tests.api.conftest import OTHER, Api

SCHEMA = {"schema": {"type": "object"}}


async def test_schema_checks_that_do_not_end_hold_up_no_other_request(
    api: Api, other_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def validate(_: object, schema: str, data: str | None = None) -> Rejection | None:
        await release.wait()
        return None

    release = asyncio.Event()
    monkeypatch.setattr(Sandbox, "validate", validate)
    one, other = await api.client("admin", "env_default"), await api.client("read", OTHER)
    many = 4 + checks.WAITING_OF_ONE_LIMIT
    puts = [asyncio.create_task(one("PUT", f"/api/event-types/a.{n}", SCHEMA)) for n in range(many)]
    async with asyncio.timeout(30):
        while sum(put.done() for put in puts) < 3:
            await asyncio.wait(puts, return_when=asyncio.FIRST_COMPLETED)
    refused = [put.result() for put in puts if put.done()]
    assert {(answer.status, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
    assert (await other("GET", "/api/webhooks")).status == 200
    assert (await one("POST", "/api/pause", {})).status == 200
    release.set()
    await asyncio.gather(*puts)
    for n, put in enumerate(puts):
        answer = put.result()
        if answer not in refused and answer.status == 503:  # all at once, it found no session free
            answer = await one("PUT", f"/api/event-types/a.{n}", SCHEMA)
        assert answer in refused or answer.status == 201


@pytest.mark.long
async def test_an_environment_with_hanging_statements_gets_errors_and_others_are_served(
    api: Api, other_environment: str
) -> None:
    pool = api.daemon._engine.sessions.people
    one, other = await api.client("read", "env_default"), await api.client("read", OTHER)
    operator = await api.client()
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(pool.of("env_default").transaction())
        busy = await one("GET", "/api/webhooks")
        assert (busy.status, busy.headers["Retry-After"]) == (503, "1")
        assert (await other("GET", "/api/webhooks")).status == 200
        assert (await operator("POST", "/api/pause", {})).status == 200
    assert (await one("GET", "/api/webhooks")).status == 200


async def test_an_upload_whose_schema_check_cannot_run_gets_a_503(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def validate(*_: object) -> Rejection | None:
        raise SandboxUnavailableError("it does not start")

    monkeypatch.setattr(Sandbox, "validate", validate)
    client = await api.client()
    answer = await client("PUT", "/api/event-types/a.b", SCHEMA)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "Schema checks" in answer.json["error"]["message"]
    assert (await client("PUT", "/api/event-types/a.b", {"description": "x"})).status == 201


async def test_a_flood_of_batches_holds_up_no_other_environment(
    api: Api, other_environment: str
) -> None:
    one, other = await api.client("write", "env_default"), await api.client("read", OTHER)
    batch = [{"type": "a.b", "data": "x" * 500}] * 200  # large enough for a thread
    floods = [asyncio.create_task(one("POST", "/api/events", batch)) for _ in range(64)]
    shown = [await other("GET", "/api/webhooks") for _ in range(10)]
    assert {answer.status for answer in shown} == {200}
    answers = await asyncio.gather(*floods)
    accepted = [answer for answer in answers if answer.status == 201]
    refused = [answer for answer in answers if answer.status != 201]
    assert accepted
    assert all(len(answer.data) == 200 for answer in accepted)
    assert {(answer.status, answer.headers["Retry-After"]) for answer in refused} <= {(503, "1")}
