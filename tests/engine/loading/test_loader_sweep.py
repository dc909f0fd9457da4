"""Rows that somebody else put behind a shard's watermark: found, however many, without waiting."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.loader import HORIZON_SECONDS, Loader
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

SHARD = 3
ROWS = 5_000
FORGOTTEN = """
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
SELECT dispatcher.next_id(), n, $1, 'env_default', 'a', now() - interval '1 hour' - n % $3 * interval '1 s', $2, 1
FROM generate_series(1, $4::int) AS n
"""


class Endpoints:
    """Every endpoint is known, and no other daemon is."""

    sharers = 1

    async def load(self, ids: Iterable[UUID]) -> None:
        pass


async def swept(connection: Connection, session: Session, moments: int) -> list[int]:
    """How many rows are neither in memory nor parked after each pass that was made at once."""
    endpoint = await rows.endpoint(connection)
    table, clock = Deliveries(session), Clock()
    buffer = DeliveryBuffer(capacity=100, queues=EndpointQueues(50))
    buffer.own(frozenset([SHARD]))
    buffer.configure(endpoint, QueueSettings(limit=9))

    async def admit(
        deliveries: Sequence[Delivery],
        *,
        stale: Collection[int | UUID],
        are_parked: bool = False,
    ) -> None:
        to_park = buffer.admit(deliveries, clock.now(), stale)
        if not are_parked:
            await table.park([d.id for d in to_park], [SHARD])

    endpoints = Endpoints()
    loader = Loader(table, buffer, endpoints, clock, admit=admit, wake=asyncio.Event())  # type: ignore[arg-type]
    await connection.execute(FORGOTTEN, endpoint, SHARD, moments, ROWS)
    buffer.raise_watermark(SHARD, clock.now() + HORIZON_SECONDS)
    left = []
    while True:
        wait = await loader.run_once()
        waiting = "SELECT count(*) FROM dispatcher.deliveries WHERE NOT parked"
        left.append(await connection.fetchval(waiting) - len(buffer))
        if wait or len(left) > ROWS:
            return left


async def test_a_sweep_with_many_results_continues_at_once(
    connection: Connection, session: Session
) -> None:
    left = await swept(connection, session, moments=600)
    assert left[-1] == 0
    assert 1 < len(left) <= 10
    assert left == sorted(left, reverse=True)


async def test_a_sweep_loads_rows_that_are_due_at_the_same_time(
    connection: Connection, session: Session
) -> None:
    left = await swept(connection, session, moments=1)
    assert left[-1] == 0
    assert 1 < len(left) <= 10
