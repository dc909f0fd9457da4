"""Answers kept for requests that are repeated with their Idempotency-Key."""

import asyncio
import time

import pytest

from dispatcher.config.sections import Retention
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.errors import RefusedError
from dispatcher.engine.upkeep.maintenance import Maintenance, MaintenanceSteps
from dispatcher.store.queries.idempotency import IdempotentResponse, IdempotentResponses
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

KEY, PRINT = "key-1", b"\x01" * 32


async def test_the_first_request_claims_a_key_and_the_next_gets_its_answer(
    session: Session,
) -> None:
    async with session.transaction() as opened:
        answered = IdempotentResponses(opened)
        assert await answered.claim("env_default", KEY, PRINT) == IdempotentResponse(
            True, PRINT, None, None
        )
        await answered.keep("env_default", KEY, 201, b"{}")
    again = await IdempotentResponses(session).claim("env_default", KEY, b"another")
    assert again == IdempotentResponse(False, PRINT, 201, b"{}")


async def test_keys_belong_to_their_environment(session: Session) -> None:
    answered = IdempotentResponses(session)
    for environment in ("env_default", "other", ALL_ENVIRONMENTS):
        assert (await answered.claim(environment, KEY, PRINT)).new
    await answered.keep("other", KEY, 204, None)
    assert (await answered.claim("env_default", KEY, PRINT)).status is None
    assert await answered.read("stranger", KEY) is None


async def test_a_second_request_waits_until_the_first_is_answered(
    connection: Connection, session: Session, other: Session
) -> None:
    async with session.transaction() as opened:
        await IdempotentResponses(opened).claim("env_default", KEY, PRINT)
        ((pid,),) = await other.fetch("SELECT pg_backend_pid()")
        second = asyncio.create_task(IdempotentResponses(other).claim("env_default", KEY, PRINT))
        await rows.waits_for_lock(connection, pid)
        await IdempotentResponses(opened).keep("env_default", KEY, 200, b"done")
        assert not second.done()
    assert await second == IdempotentResponse(False, PRINT, 200, b"done")


async def test_a_rolled_back_request_does_not_claim_its_key(
    connection: Connection, session: Session, other: Session
) -> None:
    async def claim_in_vain(claimed: asyncio.Event, undo: asyncio.Event) -> None:
        async with session.transaction() as opened:
            await IdempotentResponses(opened).claim("env_default", KEY, PRINT)
            claimed.set()
            await undo.wait()
            raise RefusedError

    claimed, undo = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(claim_in_vain(claimed, undo))
    await claimed.wait()
    ((pid,),) = await other.fetch("SELECT pg_backend_pid()")
    second = asyncio.create_task(IdempotentResponses(other).claim("env_default", KEY, b"second"))
    await rows.waits_for_lock(connection, pid)
    undo.set()
    with pytest.raises(RefusedError):
        await first
    assert await second == IdempotentResponse(True, b"second", None, None)


async def test_old_answers_are_forgotten_in_parts(connection: Connection, session: Session) -> None:
    answered = IdempotentResponses(session)
    for n in range(5):
        await answered.claim("env_default", str(n), PRINT)
    await connection.execute(
        "UPDATE dispatcher.idempotent_responses SET responded_at = now() - interval '2 h' WHERE key < '3'"
    )
    assert [await answered.prune(3600.0, 2) for _ in range(3)] == [2, 1, 0]
    left = await connection.fetch("SELECT key FROM dispatcher.idempotent_responses ORDER BY key")
    assert [row["key"] for row in left] == ["3", "4"]


async def test_maintenance_forgets_an_answer_after_a_day(
    connection: Connection, session: Session
) -> None:
    upkeep = MaintenanceSteps(
        session, Retention(events="60d", attempts="30d", audit="60d"), now=time.time
    )
    maintenance = Maintenance(upkeep.table(), is_clock_set=lambda: True)
    for hours in (23, 25):
        await IdempotentResponses(session).claim("env_default", f"{hours}", PRINT)
        await connection.execute(
            "UPDATE dispatcher.idempotent_responses SET responded_at = now() - make_interval(hours => $1)"
            " WHERE key = $1::int::text",
            hours,
        )
    await maintenance.run_once()
    left = await connection.fetch("SELECT key FROM dispatcher.idempotent_responses")
    assert [row["key"] for row in left] == ["23"]
