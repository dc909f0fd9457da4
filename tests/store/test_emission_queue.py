"""Requests whose events are inserted in one statement do not harm one another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from dispatcher.store import emission_queue
from dispatcher.store.emission_queue import EmissionQueue
from dispatcher.store.errors import TransactionConflictError
from dispatcher.store.pool import Pool, PoolBusyError, PoolShare
from dispatcher.store.queries.events import EmittedRows, EventRejectedError, NewEventRow
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.waiting import until

HOLD = "INSERT INTO dispatcher.events (type, data, idempotency_key) VALUES ('a', '1', $1)"
COUNT = "SELECT count(*) FROM dispatcher.events"
WAITING = """SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'"""


class CountingShare(PoolShare):
    """A share of a pool that counts its statements."""

    statements = 0

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        self.statements += 1
        return await super().fetch(query, *args)


@asynccontextmanager
async def opened(dsn: str, **settings: str) -> AsyncIterator[CountingShare]:
    sessions = [Session(dsn, f"people-{n}", settings=settings) for n in range(2)]
    yield CountingShare(Pool(sessions), "env_default")
    for session in sessions:
        await session.close()


@pytest.fixture
async def share(dsn: str) -> AsyncIterator[CountingShare]:
    """A share of two sessions, which wait long for a lock."""
    async with opened(dsn) as share:
        yield share


@pytest.fixture
async def hasty(dsn: str) -> AsyncIterator[CountingShare]:
    """A share whose sessions soon give up to wait for a lock."""
    async with opened(dsn, lock_timeout="300") as share:
        yield share


def emitting(
    queue: EmissionQueue, share: PoolShare, key: str | None, type_: str = "a"
) -> "asyncio.Task[EmittedRows]":
    rows = [NewEventRow(type_, "1", key)]
    return asyncio.create_task(queue.emit(share, "env_default", rows))


async def test_a_refused_event_costs_few_statements_and_no_other_request(
    share: CountingShare, connection: Connection
) -> None:
    queue = EmissionQueue()
    requests = [emitting(queue, share, None, "a..b" if n == 40 else "a") for n in range(65)]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, BaseException)] == [40]
    assert isinstance(results[40], EventRejectedError)
    assert await connection.fetchval(COUNT) == 64
    # All requests, and then both halves of each part with the refused event.
    assert share.statements <= 1 + 2 * 7


async def test_requests_with_one_key_in_one_statement_have_the_first_ones_event(
    share: CountingShare, connection: Connection
) -> None:
    queue = EmissionQueue()
    rows = [NewEventRow("a", "1", "once"), NewEventRow("a", "1")]
    emitting_all = (queue.emit(share, "env_default", rows) for _ in range(32))
    results = await asyncio.gather(*emitting_all)
    (used,) = [result.ids[0] for result in results if result.ids[0] is not None]
    assert [result.earlier[0] for result in results if result.ids[0] is None] == [used] * 31
    assert await connection.fetchval(COUNT) == 33
    assert share.statements == 1


async def test_an_unknown_environment_costs_one_statement(share: CountingShare) -> None:
    queue = EmissionQueue()
    rows = [NewEventRow("a", "1")]
    requests = [asyncio.create_task(queue.emit(share, "env_x", rows)) for _ in range(9)]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert all(isinstance(result, EventRejectedError) for result in results)
    assert share.statements == 1


async def test_keys_that_a_transaction_holds_do_not_keep_other_keys_from_being_used(
    hasty: CountingShare, connection: Connection
) -> None:
    queue, held = EmissionQueue(), [f"held{n}" for n in range(8)]
    transaction = connection.transaction()
    await transaction.start()
    try:
        for key in held:
            await connection.execute(HOLD, key)
        waiting = [emitting(queue, hasty, key) for key in ("first", *held)]
        free = emitting(queue, hasty, "free")
        assert (await free).ids[0] is not None
        results = await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        await transaction.rollback()
    assert all(isinstance(result, TransactionConflictError) for result in results[1:])
    assert isinstance(results[0], EmittedRows)


async def test_a_cancelled_request_gives_up_its_place(
    share: CountingShare,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(emission_queue, "WAITING_LIMIT", 2)
    queue = EmissionQueue()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(HOLD, "held")
    running = emitting(queue, share, "held")
    await until(lambda: _is_waiting(connection), "the statement waits for the key")
    cancelled, left = emitting(queue, share, "one"), emitting(queue, share, "two")
    await asyncio.sleep(0)
    with pytest.raises(PoolBusyError):
        await emitting(queue, share, "three")
    cancelled.cancel()
    await asyncio.wait([cancelled])
    newcomer = emitting(queue, share, "four")
    await asyncio.sleep(0)
    await transaction.commit()
    assert (await running).ids == [None]
    assert [(await task).ids[0] is None for task in (left, newcomer)] == [False, False]
    assert await connection.fetchval(COUNT) == 3


async def test_a_request_cancelled_while_its_statement_runs_harms_no_other(
    share: CountingShare, connection: Connection
) -> None:
    queue = EmissionQueue()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(HOLD, "held")
    running = emitting(queue, share, "held")
    await until(lambda: _is_waiting(connection), "the statement waits for the key")
    waiting = emitting(queue, share, "other")
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    await transaction.commit()
    assert (await waiting).ids[0] is not None


async def test_a_cancelled_task_leaves_no_request_waiting(
    share: CountingShare, connection: Connection
) -> None:
    queue = EmissionQueue()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(HOLD, "held")
    refused = emitting(queue, share, "a", "a..b")
    # Keys are claimed in their order, so the first request is refused before the second one waits.
    others = [emitting(queue, share, key) for key in ("held", "third", "fourth")]
    await until(lambda: _is_waiting(connection), "the second request alone waits for its key")
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "emit"]
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(30):
        results = await asyncio.gather(refused, *others, return_exceptions=True)
    await transaction.rollback()
    assert isinstance(results[0], EventRejectedError)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[1:])


async def _is_waiting(connection: Connection) -> bool:
    await connection.execute("SELECT pg_stat_clear_snapshot()")  # else one look is kept for all
    return bool(await connection.fetchval(WAITING))
