"""Emitting of events in batches, while their idempotency keys are deleted."""

import asyncio

import asyncpg
import pytest

from dispatcher.services.events import EmittedEvent, Events
from dispatcher.store.emission_queue import EmissionQueue
from dispatcher.store.errors import TransactionConflictError
from dispatcher.store.pool import Pool
from dispatcher.store.queries.events import NewEventRow
from dispatcher.store.session import Queryable
from tests.conftest import Connection, connected
from tests.store.rows import until_true

ENVIRONMENT = "env_default"
WAITING = """SELECT count(*) > 0 FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()"""


class PruningSession:
    """A session that deletes every idempotency key after each statement."""

    def __init__(self, session: Queryable, pruner: Connection) -> None:
        self._session = session
        self._pruner = pruner

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        rows = await self._session.fetch(query, *args)
        await self._pruner.execute("DELETE FROM dispatcher.idempotency_keys")
        return rows


def batch(*keys: str | None) -> list[NewEventRow]:
    return [NewEventRow("batch.x", "{}", key) for key in keys]


async def test_a_key_pruned_after_the_statement_still_has_its_earlier_event(
    pool: Pool, connection: Connection
) -> None:
    [first] = await Events(pool.of(""), EmissionQueue()).emit_batch(ENVIRONMENT, batch("k"))
    events = Events(PruningSession(pool.of(""), connection), EmissionQueue())
    new, again, keyless = await events.emit_batch(ENVIRONMENT, batch("other", "k", None))
    assert again == EmittedEvent(first.id, repeated=True)
    assert (new.repeated, keyless.repeated) == (False, False)


async def test_a_key_used_twice_in_a_batch_and_deleted_at_once_has_the_first_ones_event(
    pool: Pool, connection: Connection
) -> None:
    events = Events(PruningSession(pool.of(""), connection), EmissionQueue())
    first, again = await events.emit_batch(ENVIRONMENT, batch("k", "k"))
    assert again == EmittedEvent(first.id, repeated=True)


async def test_a_key_of_another_transaction_that_is_deleted_at_once_is_a_conflict(
    dsn: str, pool: Pool, connection: Connection
) -> None:
    events = Events(PruningSession(pool.of(""), connection), EmissionQueue())
    async with connected(dsn) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT dispatcher.emit('batch.x', '{}', idempotency_key => 'k')")
        emitting = asyncio.create_task(events.emit_batch(ENVIRONMENT, batch("k")))
        await until_true(connection, WAITING)
        await transaction.commit()
    with pytest.raises(TransactionConflictError):
        await emitting
