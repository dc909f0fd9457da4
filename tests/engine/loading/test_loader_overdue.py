"""Rows that somebody else put behind a shard's watermark: found, however many, without waiting."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery, Endpoint
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading import parked_search as module
from dispatcher.engine.loading.loader import READ_AHEAD_LIMIT_SECONDS, Loader
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.core.test_request_headers import ENDPOINT
from tests.store import rows

SHARD = 3
ROWS = 5_000
FORGOTTEN = """
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
SELECT dispatcher.next_id(), n, $1, 'env_default', 'a', now() - interval '1 hour' - n % $3 * interval '1 s', $2, 1
FROM generate_series(1, $4::int) AS n
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pass takes so long that the next search for parked rows is put off."""
    monkeypatch.setattr(module, "PASS_SECONDS", float("inf"))


class Endpoints:
    """Every endpoint is known. `sharers` is how many daemons there are."""

    def __init__(self, sharers: int) -> None:
        self.sharers = sharers

    def __getitem__(self, endpoint_id: UUID) -> Endpoint:
        return replace(ENDPOINT, id=endpoint_id, ordered=False)

    async def load(self, ids: Iterable[UUID]) -> None:
        pass


def loading(
    endpoint: UUID, table: Deliveries, *, sharers: int = 1
) -> tuple[Loader, DeliveryBuffer]:
    clock = Clock()
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
            await table.park(to_park, [SHARD])

    endpoints = Endpoints(sharers)
    loader = Loader(table, buffer, endpoints, clock, admit=admit, wake=asyncio.Event())  # type: ignore[arg-type]
    buffer.raise_watermark(SHARD, clock.now() + READ_AHEAD_LIMIT_SECONDS)
    return loader, buffer


async def searched(connection: Connection, session: Session, moments: int) -> list[int]:
    """Return how many rows are neither in memory nor parked, after each pass that ran at once."""
    endpoint = await rows.endpoint(connection)
    loader, buffer = loading(endpoint, Deliveries(session))
    await connection.execute(FORGOTTEN, endpoint, SHARD, moments, ROWS)
    left = []
    while True:
        wait = await loader.run_once()
        waiting = "SELECT count(*) FROM dispatcher.deliveries WHERE NOT parked"
        left.append(await connection.fetchval(waiting) - len(buffer))
        if wait or len(left) > ROWS:
            return left


@pytest.mark.parametrize(("sharers", "expected"), [(1, 0), (2, 1)])
async def test_what_another_daemon_parks_is_searched_for_soon_if_there_is_one(
    connection: Connection,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    sharers: int,
    expected: int,
) -> None:
    monkeypatch.setattr(module, "RESCAN_SECONDS", 600.0)
    monkeypatch.setattr(module, "RESCAN_SHARED_SECONDS", 0.0)
    endpoint = await rows.endpoint(connection)
    loader, buffer = loading(endpoint, Deliveries(session), sharers=sharers)
    await loader.run_once()
    await rows.delivery(connection, endpoint, shard=SHARD, parked=True)
    await loader.run_once()
    assert len(buffer) == expected


async def test_a_row_that_is_parked_during_a_read_is_found_by_the_next(
    connection: Connection, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await rows.endpoint(connection)
    table = Deliveries(session)
    loader, buffer = loading(endpoint, table)
    await loader.run_once()
    read = table.parked

    async def parked_meanwhile(*args: Any) -> Sequence[Delivery]:
        monkeypatch.undo()
        answer = await read(*args)
        await rows.delivery(connection, endpoint, shard=SHARD, parked=True)
        buffer.parked.note([endpoint])  # as the fan-out that made it
        return answer

    monkeypatch.setattr(table, "parked", parked_meanwhile)
    buffer.parked.note([endpoint])
    for expected in (0, 1):
        await loader.run_once()
        assert len(buffer) == expected


async def test_a_search_with_many_results_continues_at_once(
    connection: Connection, session: Session
) -> None:
    left = await searched(connection, session, moments=600)
    assert left[-1] == 0
    assert 1 < len(left) <= 10
    assert left == sorted(left, reverse=True)


async def test_a_search_loads_rows_that_are_due_at_the_same_time(
    connection: Connection, session: Session
) -> None:
    left = await searched(connection, session, moments=1)
    assert left[-1] == 0
    assert 1 < len(left) <= 10
