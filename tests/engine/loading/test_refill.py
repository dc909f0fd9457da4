"""The refill of endpoint queues, while an endpoint is slow: its read has timed out."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import cast
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery, Endpoint
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading import refill as module
from dispatcher.engine.loading.admission import Admission
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.loading.refill import Refill
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.deliveries import Deliveries
from tests.core.test_request_headers import ENDPOINT

SHARDS = range(64)
SLOW, OTHER = UUID(int=7), UUID(int=8)


class Table:
    """A table without parked rows, of which one endpoint takes too long to read once."""

    def __init__(self) -> None:
        self.read: list[list[UUID]] = []
        self.on_read: Callable[[], None] = lambda: None

    async def parked(
        self, limits: Mapping[UUID, int], shards: Collection[int], at_most: int
    ) -> list[Delivery]:
        self.read.append(list(limits))
        await asyncio.sleep(0)
        self.on_read()
        if len(self.read) == 1:
            raise StatementTimeoutError("canceling statement due to statement timeout")
        return []


class Endpoints:
    """Endpoints that all are known, and not ordered."""

    def __getitem__(self, endpoint_id: UUID) -> Endpoint:
        return replace(ENDPOINT, id=endpoint_id)

    async def load(self, ids: Iterable[UUID]) -> None:
        pass


class Refilling:
    """The refill of two queues. `admitted` counts how often rows were taken into memory."""

    def __init__(self) -> None:
        self.table = Table()
        self.admitted = 0
        self.buffer = DeliveryBuffer(capacity=1_000, queues=EndpointQueues(500))
        self.buffer.own(frozenset(SHARDS))
        for endpoint_id in (SLOW, OTHER):
            self.buffer.configure(endpoint_id, QueueSettings(limit=9))
        deliveries = cast(Deliveries, self.table)
        endpoints = cast(EndpointCache, Endpoints())
        admission = Admission(self.buffer, endpoints, deliveries, Clock(), self._count)
        self.refill = Refill(deliveries, self.buffer, endpoints, admission.admit)

    def _count(self) -> None:
        self.admitted += 1

    async def make_slow(self) -> None:
        self.buffer.parked.note([SLOW])
        await self.refill.run_once()


async def test_a_slow_endpoint_may_be_deleted_while_others_are_read() -> None:
    refilling = Refilling()
    await refilling.make_slow()
    refilling.buffer.parked.note([OTHER])

    def delete() -> None:
        assert refilling.buffer.forget([SLOW]) == [SLOW]

    refilling.table.on_read = delete
    await refilling.refill.run_once()
    assert refilling.table.read == [[SLOW], [OTHER]]


async def test_a_slow_endpoint_without_rows_is_read_after_pauses_and_wakes_nothing() -> None:
    refilling = Refilling()
    await refilling.make_slow()
    for _ in range(5):
        assert not await refilling.refill.run_once()
    assert refilling.table.read == [[SLOW], [SLOW]]
    assert refilling.admitted == 0


async def test_a_slow_endpoint_is_read_again_after_its_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SLOW_INTERVAL", 0.0)
    monkeypatch.setattr(module, "SLOW_PAUSE", 0.0)
    refilling = Refilling()
    await refilling.make_slow()
    for _ in range(5):
        await refilling.refill.run_once()
    assert refilling.table.read == [[SLOW]] * 6
