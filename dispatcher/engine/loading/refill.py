"""Read parked rows into the queues that have room for them.

An old snapshot keeps the rows of ended deliveries, which a read has to pass. If that takes too
long, the next statement asks for fewer endpoints. An endpoint whose read times out alone counts as
slow to read for a while: it is read by itself, some shards at a time, so that it delays no other.
This has nothing to do with a slow endpoint of the glossary, whose answers are late.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from time import monotonic
from typing import Protocol
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.store.errors import StatementTimeoutError
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.telemetry import observe

ENDPOINTS_LIMIT = 100
"""Endpoints whose parked rows are read in one pass."""
PARKED_LIMIT = 5_000
"""Parked rows read in one statement."""
SLOW_SECONDS = 60.0
"""An endpoint whose read timed out is read by itself for this time, if at all: see `_Slow`."""
SLOW_INTERVAL = 1.0
"""Shortest pause after a read of such an endpoint, unless the read found new rows."""
SLOW_PAUSE = 4.0
"""After a read of such an endpoint, the pause is at least this many times as long as the read."""


class Admit(Protocol):
    """The function that takes rows into memory, see Admission.admit."""

    async def __call__(
        self,
        deliveries: Sequence[Delivery],
        *,
        stale: Collection[int | UUID],
        are_parked: bool = False,
    ) -> None: ...


@dataclass(slots=True)
class _Slow:
    """An endpoint that is slow to read: it is read some shards at a time, from `next_at` on.

    It counts as that until `until`. If `rests` is True, it is not read at all until then: it is
    ordered, or the read of a single shard timed out. Both times are in monotonic seconds.
    """

    until: float
    rests: bool
    next_at: float = 0.0
    size: BatchSize = field(default_factory=BatchSize)
    turn: int = 0

    def is_ready(self, now: float) -> bool:
        """Return True if it is to be read now."""
        return not self.rests and now >= self.next_at

    def note_read(self, began: float, now: float, *, is_new: bool) -> None:
        """Put off the next read. Otherwise reads without new rows would follow each other."""
        pause = (now - began) * SLOW_PAUSE
        self.next_at = now + (pause if is_new else max(SLOW_INTERVAL, pause))

    def shards(self, owned: Collection[int]) -> list[int]:
        """Return the shards to read next: another part of them each time."""
        count, begin = self.size.scale(len(owned)), self.turn % max(1, len(owned))
        self.turn = begin + count
        return sorted(owned)[begin : begin + count]


class Refill:
    """The reader of parked rows. `admit` takes the rows that were read."""

    def __init__(
        self,
        deliveries: Deliveries,
        buffer: DeliveryBuffer,
        endpoints: EndpointCache,
        admit: Admit,
    ) -> None:
        self._deliveries = deliveries
        self._buffer = buffer
        self._endpoints = endpoints
        self._admit = admit
        self._size = BatchSize()
        self._slow: dict[UUID, _Slow] = {}

    async def run_once(self) -> bool:
        """Read as many parked rows as the queues have room for.

        Return True if the next pass is to follow at once: there may be more to read, or a statement
        timed out. A timeout ends the pass, and the next one asks for less. Raise StoreError.
        """
        now, parked = monotonic(), self._buffer.parked  # without endpoints that were forgotten
        self._slow = {i: s for i, s in self._slow.items() if s.until > now and i in parked}
        endpoint_ids = in_turns(
            [i for i in self._buffer.endpoints_needing_refill() if i not in self._slow],
            lambda endpoint_id: self._endpoints[endpoint_id].environment_id,
        )
        batch = endpoint_ids[: self._size.scale(ENDPOINTS_LIMIT)]
        limits = {i: self._buffer.rows_to_read(i) for i in batch}
        # Look up all endpoints before the first statement. They may be forgotten during one.
        homes = {i: self._endpoints.home_shard(i) for i in limits if self._endpoints[i].ordered}
        for endpoint_id, home in homes.items():
            if not await self._read_ordered(endpoint_id, home, limits.pop(endpoint_id)):
                return True
        if limits and not await self._read_unordered(limits):
            return True
        has_more = await self._read_slow()
        return has_more or len(endpoint_ids) > len(batch)

    async def _read_ordered(self, endpoint_id: UUID, home: int, limit: int) -> bool:
        """Read parked rows of an ordered endpoint; return False if that takes too long."""
        try:
            await self._refill_ordered(endpoint_id, home, limit)
        except StatementTimeoutError as error:
            observe.stages.database_failed("load", error, SLOW_SECONDS)
            self._slow[endpoint_id] = _Slow(monotonic() + SLOW_SECONDS, rests=True)
            return False
        return True

    async def _read_unordered(self, limits: Mapping[UUID, int]) -> bool:
        """Read parked rows of several endpoints; return False if that takes too long."""
        try:
            await self._refill_unordered(limits)
        except StatementTimeoutError as error:
            observe.stages.database_failed("load", error, 0.0)
            if len(limits) > 1:
                while self._size.scale(ENDPOINTS_LIMIT) >= len(limits):
                    self._size.shrink()
            else:
                (endpoint_id,) = limits
                self._slow[endpoint_id] = _Slow(monotonic() + SLOW_SECONDS, rests=False)
                self._slow[endpoint_id].size.shrink()
            return False
        self._size.grow()
        return True

    async def _read_slow(self) -> bool:
        """Read a part of one slow endpoint, if one is ready; return True if there were new rows."""
        began, is_new = monotonic(), False
        endpoint_id = self._next_slow(began)
        if endpoint_id is None:
            return False
        slow = self._slow[endpoint_id] = self._slow.pop(endpoint_id)  # last, as others follow
        shards = slow.shards(self._buffer.owned)
        try:
            is_new = await self._read_shards(endpoint_id, shards)
        except StatementTimeoutError as error:
            observe.stages.database_failed("load", error, 0.0)
            slow.until = monotonic() + SLOW_SECONDS
            slow.rests = len(shards) == 1
            slow.size.shrink()
            return True
        finally:
            slow.note_read(began, monotonic(), is_new=is_new)
        return is_new

    def _next_slow(self, now: float) -> UUID | None:
        """Return the endpoint that is slow to read and is next, None if none is ready.

        It must still need a refill. Otherwise one could be read that was forgotten during an
        earlier statement of this pass.
        """
        ready = [i for i, slow in self._slow.items() if slow.is_ready(now)]
        needing = set(self._buffer.endpoints_needing_refill()) if ready else set()
        return next((i for i in ready if i in needing), None)

    async def _read_shards(self, endpoint_id: UUID, shards: Sequence[int]) -> bool:
        """Read parked rows of an endpoint in these shards; return True if there were new ones."""
        limit = self._buffer.rows_to_read(endpoint_id)
        with self._buffer.reading() as stale:
            rows = await self._deliveries.parked({endpoint_id: limit}, shards, limit)
            is_new = any(row.id not in self._buffer for row in rows)
            if rows:  # to admit nothing would wake the deliverer, which wakes the loader again
                await self._admit(rows, stale=stale, are_parked=True)
        return is_new

    async def _refill_unordered(self, limits: Mapping[UUID, int]) -> None:
        """Read parked rows of several endpoints, each up to its limit.

        One statement reads at most PARKED_LIMIT rows, or as many as the first endpoint needs.
        """
        total = max(PARKED_LIMIT, next(iter(limits.values())))
        note = self._buffer.parked.newest
        with self._buffer.reading() as stale:
            rows = await self._deliveries.parked(limits, self._buffer.owned, total)
            await self._take_parked(completely_read(limits, rows, total), rows, stale, note)

    async def _refill_ordered(self, endpoint_id: UUID, shard: int, limit: int) -> None:
        """Read parked rows of an ordered endpoint, from its first one on."""
        note = self._buffer.parked.newest
        with self._buffer.reading() as stale:
            rows = []
            if shard in self._buffer.owned:
                rows = await self._deliveries.parked_in_order(endpoint_id, shard, limit)
            await self._take_parked({endpoint_id: limit}, rows, stale, note)

    async def _take_parked(
        self,
        limits: Mapping[UUID, int],
        rows: Sequence[Delivery],
        stale: Collection[int | UUID],
        note: int,
    ) -> None:
        """Admit parked rows that were read.

        An endpoint without more rows, or without new ones, is not read until the next rescan,
        unless rows were parked after `note`, the newest when the read began.
        """
        counts = Counter(row.endpoint_id for row in rows)
        with_new = {row.endpoint_id for row in rows if row.id not in self._buffer}
        for endpoint_id, limit in limits.items():
            has_more = counts[endpoint_id] == limit and endpoint_id in with_new
            if not has_more and endpoint_id not in stale:
                self._buffer.parked.forget(endpoint_id, note)
        await self._admit(rows, stale=stale, are_parked=True)


def completely_read(
    limits: Mapping[UUID, int], rows: Sequence[Delivery], total: int
) -> Mapping[UUID, int]:
    """Return the endpoints whose parked rows were read completely, each up to its limit.

    If the statement reached its limit, these are the endpoints before the last one in the result.
    """
    if len(rows) < total:
        return limits
    last = rows[-1].endpoint_id
    return dict(takewhile(lambda item: item[0] != last, limits.items()))


def in_turns(endpoint_ids: Iterable[UUID], environment_of: Callable[[UUID], str]) -> list[UUID]:
    """Order endpoints round robin over their environments.

    Otherwise one environment would wait for all endpoints of another.
    """
    by_environment: dict[str, list[UUID]] = {}
    for endpoint_id in endpoint_ids:
        by_environment.setdefault(environment_of(endpoint_id), []).append(endpoint_id)
    rounds = zip_longest(*by_environment.values())
    return [i for endpoints in rounds for i in endpoints if i is not None]
