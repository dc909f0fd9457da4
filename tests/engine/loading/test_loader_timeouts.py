"""The loader, while the rows of ended deliveries make its statements time out.

The rows that are loaded are real. The ended ones are a number: `Table` times out as the server would
if it had to pass too many of them.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery, Endpoint
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading import loader as module
from dispatcher.engine.loading import overdue_search, parked_search, refill
from dispatcher.engine.loading.loader import Loader
from dispatcher.store.errors import (
    StatementTimeoutError,
    StoreUnavailableError,
    TransactionConflictError,
)
from dispatcher.store.queries.deliveries import FIRST_ID, LAST_ID, Deliveries, Range
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.core.test_request_headers import ENDPOINT
from tests.store import rows

SHARDS = range(64)
HOME = 5
DEAD_SECONDS = 3_600.0
"""The ended deliveries became due within the last hour, as many in each second."""


class Table(Deliveries):
    """A table with `dead` ended rows a shard that were due, and `dead_parked` rows of endpoints.

    A statement that would pass more than `limit` of them times out. `broken` has the names of
    statements that fail with an error of their own.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        super().__init__(session)
        self.clock = clock
        self.dead = 0.0
        self.dead_parked: dict[UUID, float] = {}
        self.limit = 1.0
        self.broken: dict[str, Exception] = {}
        self.timeouts = 0

    def _pass(self, statement: str, dead: float) -> None:
        if statement in self.broken:
            raise self.broken[statement]
        if dead > self.limit:
            self.timeouts += 1
            raise StatementTimeoutError("canceling statement due to statement timeout")

    async def due(self, ranges: Sequence[Range], before: float) -> list[Delivery]:
        now = self.clock.now()
        seconds = sum(
            max(0.0, min(before, now) - max(range_.low, now - DEAD_SECONDS)) for range_ in ranges
        )
        self._pass("due", self.dead * seconds / DEAD_SECONDS)
        return await super().due(ranges, before)

    async def parked_endpoints(self, first: UUID = FIRST_ID, last: UUID = LAST_ID) -> list[UUID]:
        of_range = (dead for i, dead in self.dead_parked.items() if first <= i <= last)
        self._pass("parked_endpoints", sum(of_range))
        return await super().parked_endpoints(first, last)

    async def parked(
        self, limits: Mapping[UUID, int], shards: Collection[int], at_most: int
    ) -> list[Delivery]:
        dead = sum(self.dead_parked.get(i, 0.0) for i in limits)
        self._pass("parked", dead * len(shards) / len(SHARDS))
        return await super().parked(limits, shards, at_most)

    async def parked_in_order(self, endpoint_id: UUID, shard: int, limit: int) -> list[Delivery]:
        self._pass("parked_in_order", self.dead_parked.get(endpoint_id, 0.0))
        return await super().parked_in_order(endpoint_id, shard, limit)


class Endpoints:
    """Endpoints of which some are ordered; one is opened in memory when it is first loaded."""

    sharers = 1

    def __init__(self, buffer: DeliveryBuffer) -> None:
        self.buffer = buffer
        self.ordered: set[UUID] = set()
        self.known: set[UUID] = set()

    def __getitem__(self, endpoint_id: UUID) -> Endpoint:
        return replace(ENDPOINT, id=endpoint_id, ordered=endpoint_id in self.ordered)

    def home_shard(self, endpoint_id: UUID) -> int:
        return HOME

    async def load(self, ids: Iterable[UUID]) -> None:
        for id_ in set(ids) - self.known:
            self.buffer.configure(id_, QueueSettings(limit=9, is_ordered=id_ in self.ordered))
            self.known.add(id_)


@dataclass
class Loading:
    """A loader that has just started, with all shards."""

    loader: Loader
    table: Table
    buffer: DeliveryBuffer
    endpoints: Endpoints

    async def load(self, deliveries: Sequence[Delivery], *, passes: int) -> None:
        """Run passes until these are in memory; an error of a pass does not end that."""
        for _ in range(passes):
            with suppress(StatementTimeoutError):
                await self.loader.run_once()
            if all(delivery.id in self.buffer for delivery in deliveries):
                return
        left = [delivery for delivery in deliveries if delivery.id not in self.buffer]
        raise AssertionError(f"{len(left)} of {len(deliveries)} are not in memory")


@pytest.fixture
def loading(session: Session, monkeypatch: pytest.MonkeyPatch) -> Loading:
    for constant in ("EVERY_SECONDS", "OLDER_SECONDS", "OLDER_PAUSE"):
        monkeypatch.setattr(overdue_search, constant, 0.0)
    monkeypatch.setattr(parked_search, "RESCAN_SECONDS", 0.0)
    monkeypatch.setattr(parked_search, "PASS_SECONDS", float("inf"))
    for constant in ("SLOW_INTERVAL", "SLOW_PAUSE"):
        monkeypatch.setattr(refill, constant, 0.0)
    clock = Clock()
    table = Table(session, clock)
    buffer = DeliveryBuffer(capacity=1_000, queues=EndpointQueues(500))
    buffer.own(frozenset(SHARDS))
    endpoints = Endpoints(buffer)

    async def admit(
        deliveries: Sequence[Delivery],
        *,
        stale: Collection[int | UUID],
        are_parked: bool = False,
    ) -> None:
        await endpoints.load(d.endpoint_id for d in deliveries)
        to_park = buffer.admit(deliveries, clock.now(), stale)
        if not are_parked:
            await table.park(to_park, SHARDS)

    loader = Loader(table, buffer, endpoints, clock, admit=admit, wake=asyncio.Event())  # type: ignore[arg-type]
    return Loading(loader, table, buffer, endpoints)


async def due(connection: Connection, ago: Callable[[int], float]) -> list[Delivery]:
    """Return a delivery of each shard, due so many seconds ago, each for an endpoint of its own."""
    endpoint = await rows.endpoint(connection)
    return [
        await rows.delivery(connection, endpoint, shard=shard, due_in=-ago(shard), attempt=1)
        for shard in SHARDS
    ]


async def parked(connection: Connection, endpoint: UUID, shard: int = HOME) -> Delivery:
    return await rows.delivery(connection, endpoint, shard=shard, due_in=-10, parked=True)


async def test_a_first_read_that_times_out_continues_with_fewer_shards(
    connection: Connection, loading: Loading
) -> None:
    deliveries = await due(connection, lambda shard: shard * 50.0)
    loading.table.dead = 0.9  # of each shard: the limit is 1 for a statement
    await loading.load(deliveries, passes=150)
    assert loading.table.timeouts > 0


async def test_a_read_that_took_long_is_not_followed_by_a_larger_one(
    connection: Connection, loading: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROW_SECONDS", 0.0)
    deliveries = await due(connection, lambda shard: shard * 50.0)
    loading.table.dead = 0.9
    await loading.load(deliveries, passes=80)
    # The reads of 64 shards, of 16 and of 4, and after the last one the first search.
    assert loading.table.timeouts == 4


async def test_what_is_due_in_a_shard_full_of_ended_rows_is_read_lately_due_rows_first(
    connection: Connection, loading: Loading
) -> None:
    deliveries = await due(connection, lambda shard: 1.0 + shard * 50.0)
    loading.table.dead = 1.5  # even one shard takes too long
    await loading.load(deliveries[:1], passes=10)
    await loading.load(deliveries, passes=800)


@pytest.mark.parametrize("ordered", [False, True])
async def test_queues_are_refilled_although_no_due_row_can_be_read(
    connection: Connection, loading: Loading, ordered: bool
) -> None:
    loading.table.broken["due"] = StatementTimeoutError("canceling statement")
    endpoint = await rows.endpoint(connection, home=HOME if ordered else None)
    if ordered:
        loading.endpoints.ordered.add(endpoint)
    await loading.load([await parked(connection, endpoint)], passes=1)


async def test_queues_are_refilled_although_a_row_to_park_is_locked(
    connection: Connection, loading: Loading
) -> None:
    loading.table.broken["due"] = TransactionConflictError("lock timeout")
    endpoint = await rows.endpoint(connection)
    waiting = await parked(connection, endpoint)
    with pytest.raises(TransactionConflictError):  # the stage's failure is shown all the same
        await loading.loader.run_once()
    assert waiting.id in loading.buffer


async def test_a_pass_ends_if_the_database_is_gone(loading: Loading) -> None:
    loading.table.broken["due"] = StoreUnavailableError("gone")
    loading.table.broken["parked_endpoints"] = LookupError("not reached")
    with pytest.raises(StoreUnavailableError):
        await loading.loader.run_once()


async def test_the_search_for_overdue_rows_finds_them_in_pieces(
    connection: Connection, loading: Loading
) -> None:
    await loading.load([], passes=1)
    deliveries = await due(connection, lambda shard: 6.0 + shard * 50.0)  # behind all watermarks
    loading.table.dead = 0.9
    await loading.load(deliveries, passes=200)
    assert loading.table.timeouts > 0


async def test_a_search_that_times_out_keeps_no_queue_from_its_parked_rows(
    connection: Connection, loading: Loading
) -> None:
    await loading.load([], passes=1)
    loading.table.dead = 0.9
    for _ in range(3):
        row = await parked(connection, await rows.endpoint(connection))
        await loading.loader.run_once()
        assert row.id in loading.buffer
    assert loading.table.timeouts > 0


async def test_endpoints_with_parked_rows_are_found_beside_many_ended_ones(
    connection: Connection, loading: Loading
) -> None:
    endpoints = [await rows.endpoint(connection, id=UUID(int=n << 120)) for n in range(1, 256, 8)]
    deliveries = [await parked(connection, endpoint) for endpoint in endpoints]
    loading.table.dead_parked = {UUID(int=n << 120): 0.3 for n in range(256)}
    await loading.load(deliveries, passes=200)
    assert loading.table.timeouts > 0


async def test_an_endpoint_whose_ended_rows_take_too_long_delays_no_other(
    connection: Connection, loading: Loading
) -> None:
    endpoints = [await rows.endpoint(connection, id=UUID(int=n << 96)) for n in range(1, 40)]
    deliveries = [await parked(connection, endpoint) for endpoint in endpoints]
    await loading.endpoints.load(endpoints)
    loading.buffer.parked.note(endpoints)
    loading.table.dead_parked = {endpoints[20]: 20.0}
    await loading.load(deliveries[:20] + deliveries[21:], passes=30)


async def test_an_endpoint_whose_ended_rows_take_too_long_is_read_some_shards_at_a_time(
    connection: Connection, loading: Loading
) -> None:
    endpoint = await rows.endpoint(connection)
    deliveries = [await parked(connection, endpoint, shard) for shard in SHARDS]
    await loading.endpoints.load([endpoint])
    loading.buffer.parked.note([endpoint])
    loading.table.dead_parked = {endpoint: 20.0}
    await loading.load(deliveries, passes=80)


async def test_an_ordered_endpoint_that_takes_too_long_delays_no_other(
    connection: Connection, loading: Loading
) -> None:
    endpoints = [await rows.endpoint(connection, home=HOME) for _ in range(3)]
    other = await rows.endpoint(connection)
    loading.endpoints.ordered.update(endpoints)
    deliveries = [await parked(connection, endpoint) for endpoint in (*endpoints, other)]
    await loading.endpoints.load([*endpoints, other])
    loading.buffer.parked.note([*endpoints, other])
    loading.table.dead_parked = {endpoints[0]: 20.0}
    await loading.load(deliveries[1:], passes=10)
    assert deliveries[0].id not in loading.buffer


async def test_a_read_that_failed_for_a_lock_is_repeated_in_full(
    connection: Connection, loading: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a read that takes too long itself asks for less: parking has a limit of its own."""
    ranges: list[int] = []
    read = loading.table.due

    async def noted(asked: Sequence[Range], before: float) -> list[Delivery]:
        ranges.append(len(asked))
        return await read(asked, before)

    async def too_long(*_: Any, **__: Any) -> None:
        raise StatementTimeoutError("canceling statement")

    monkeypatch.setattr(loading.table, "due", noted)
    await due(connection, lambda _: 1.0)
    with monkeypatch.context() as during:
        during.setattr(loading.endpoints, "load", too_long)
        with pytest.raises(StatementTimeoutError):
            await loading.loader.run_once()
    await loading.loader.run_once()
    assert set(ranges) == {len(SHARDS)}
