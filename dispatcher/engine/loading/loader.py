"""Load rows from the table into memory: rows due soon, and parked rows if their queue has room."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import takewhile, zip_longest
from time import monotonic
from typing import Protocol
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.watermarks import NEVER_READ
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.store.queries.deliveries import Deliveries, Range

READ_AHEAD_LIMIT_SECONDS = 60.0
"""Retries due within this time are held in memory."""
READ_AGAIN_SECONDS = 30.0
"""A shard is read again when the retries that were read ahead last for less than this."""
ROWS_WHEN_FULL = 2_000
"""Rows read at once while memory is full; most of them are only parked."""
OVERDUE_SEARCH_SECONDS = 15.0
"""Time between two searches of all owned shards for overdue rows."""
OVERDUE_SECONDS = 5.0
"""The search is for rows that are overdue for longer and not in memory."""
RESCAN_SECONDS = 5.0
"""Time between two searches for endpoints with parked rows."""
RESCAN_SHARED_SECONDS = 1.0
"""The same beside other daemons, as their notifications of what they park may be lost."""
RESCAN_NOTIFIED_SECONDS = 0.1
"""The same after such a notification, or longer if the search itself takes long."""
RESCAN_PART_LIMIT = 0.1
"""Largest part of the time that these searches may take."""
ENDPOINTS_LIMIT = 100
"""Endpoints whose parked rows are read in one pass."""
PARKED_LIMIT = 5_000
"""Parked rows read in one statement."""
IDLE_SECONDS = 1.0
"""Time between two passes of an idle loader."""


class Admit(Protocol):
    """The function that takes rows into memory, see Admission.admit."""

    async def __call__(
        self,
        deliveries: Sequence[Delivery],
        *,
        stale: Collection[int | UUID],
        are_parked: bool = False,
    ) -> None: ...


class Loader:
    """The stage that loads rows from the table.

    `admit` takes the rows that were read. `wake` is set when shards were gained or an endpoint
    queue needs its parked rows.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        buffer: DeliveryBuffer,
        endpoints: EndpointCache,
        clock: Clock,
        *,
        admit: Admit,
        wake: asyncio.Event,
    ) -> None:
        self._deliveries = deliveries
        self._buffer = buffer
        self._endpoints = endpoints
        self._clock = clock
        self._admit = admit
        self.wake = wake
        self._overdue_searched_at = float("-inf")
        # The due times from which the next pass continues the search for overdue rows, by shard.
        self._overdue_from: Mapping[int, float] = {}
        self._rescanned_at = float("-inf")
        self._rescan_took = 0.0
        self._is_notified = False

    def note_parked(self) -> None:
        """Search soon for parked rows: another daemon has parked some."""
        self._is_notified = True
        self.wake.set()

    def reread_shards(self) -> None:
        """Read all shards again: rows may be there, or due, that memory does not know.

        A fan-out whose answer was lost may be committed, or rows were moved to earlier times.
        """
        self._buffer.invalidate_watermarks()
        self.wake.set()

    def shards_changed(self) -> None:
        """Search for parked rows at once: those of a new shard are not known yet."""
        self._rescanned_at = float("-inf")
        self.wake.set()

    async def run_once(self) -> float:
        """Make one pass, and return the seconds to the next, 0.0 if there are more rows to read.

        Raise StoreError or StatementTimeoutError.
        """
        has_more = await self._read_ahead()
        if monotonic() - self._overdue_searched_at >= OVERDUE_SEARCH_SECONDS:
            if await self._search_overdue():
                has_more = True
            else:
                self._overdue_searched_at = monotonic()
        if monotonic() - self._rescanned_at >= self._rescan_interval():
            self._is_notified = False
            await self._rescan()
        has_more = await self._refill_queues() or has_more
        return 0.0 if has_more else min(IDLE_SECONDS, self._rescan_interval())

    def _rescan_interval(self) -> float:
        """Return the seconds between two searches for endpoints with parked rows."""
        usual = RESCAN_SECONDS if self._endpoints.sharers == 1 else RESCAN_SHARED_SECONDS
        if not self._is_notified:
            return usual
        return min(usual, max(RESCAN_NOTIFIED_SECONDS, self._rescan_took / RESCAN_PART_LIMIT))

    async def _read_ahead(self) -> bool:
        """Read due rows, and with enough room those due within READ_AHEAD_LIMIT_SECONDS.

        Return True if more due rows are left than were read.
        """
        now = self._clock.now()
        room, before = self._buffer.room_for_later, now + READ_AHEAD_LIMIT_SECONDS
        if not room:
            room, before = self._buffer.room or ROWS_WHEN_FULL, now
        shards = [shard for shard in self._buffer.owned if self._is_to_read(shard, before, now)]
        if not shards:
            return False
        ranges = self._ranges({shard: self._buffer.watermark(shard) for shard in shards}, room)
        for shard in shards:
            self._buffer.raise_watermark(shard, before)
        try:
            rows = await self._read(ranges, before)
        except BaseException:
            for one_range in ranges:
                self._buffer.lower_watermark(one_range.shard, one_range.low)
            raise
        unread = unread_from(ranges, rows)
        for shard, due in unread.items():
            self._buffer.lower_watermark(shard, due)
        return any(due <= now for due in unread.values())

    async def _search_overdue(self) -> bool:
        """Read overdue rows that are neither in memory nor parked, such as rows others inserted.

        Return True if there are more of them than one statement reads. Rows that were read are in
        memory or parked then, so every pass gets further.
        """
        owned = self._buffer.owned
        lows = {shard: low for shard, low in self._overdue_from.items() if shard in owned}
        lows = lows or dict.fromkeys(owned, NEVER_READ)
        if not lows:
            return False
        ranges = self._ranges(lows, max(self._buffer.room, ROWS_WHEN_FULL))
        rows = await self._read(ranges, self._clock.now() - OVERDUE_SECONDS)
        self._overdue_from = unread_from(ranges, rows)
        return bool(self._overdue_from)

    async def _rescan(self) -> None:
        """Search for endpoints with parked rows, as other daemons park rows too."""
        began_at = monotonic()
        endpoint_ids = await self._deliveries.parked_endpoints()
        await self._endpoints.load(endpoint_ids)
        self._buffer.parked.note(endpoint_ids)
        self._rescanned_at = began_at
        self._rescan_took = monotonic() - began_at

    async def _read(self, ranges: list[Range], before: float) -> list[Delivery]:
        with self._buffer.reading() as stale:
            rows = await self._deliveries.due(ranges, before)
            await self._admit(rows, stale=stale)
        return rows

    async def _refill_queues(self) -> bool:
        """Read as many parked rows as the queues have room for.

        Return True if there are more endpoints with room than one pass reads.
        """
        endpoint_ids = in_turns(
            self._buffer.endpoints_needing_refill(),
            lambda endpoint_id: self._endpoints[endpoint_id].environment_id,
        )
        limits = {i: self._buffer.rows_to_read(i) for i in endpoint_ids[:ENDPOINTS_LIMIT]}
        # Look up all endpoints before the first statement. They may be forgotten during one.
        homes = {i: self._endpoints.home_shard(i) for i in limits if self._endpoints[i].ordered}
        for endpoint_id, home in homes.items():
            await self._refill_ordered(endpoint_id, home, limits.pop(endpoint_id))
        if limits:
            await self._refill_unordered(limits)
        return len(endpoint_ids) > ENDPOINTS_LIMIT

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

    def _ranges(self, lows: dict[int, float], room: int) -> list[Range]:
        """Share `room` among the shards.

        Rows already in memory come back too, so each shard may return that many more.
        """
        counts = self._buffer.count_by_shard()
        share = max(1, room // len(lows))
        return [Range(shard, low, counts[shard] + share) for shard, low in lows.items()]

    def _is_to_read(self, shard: int, before: float, now: float) -> bool:
        return self._buffer.watermark(shard) < max(before - READ_AGAIN_SECONDS, now)


def unread_from(ranges: Iterable[Range], rows: Iterable[Delivery]) -> dict[int, float]:
    """Return the shards whose range reached its row limit, with the due time of the last row.

    There may be more rows from that time on.
    """
    by_shard: dict[int, list[float]] = {}
    for row in rows:
        by_shard.setdefault(row.shard, []).append(row.next_at)
    return {r.shard: due[-1] for r in ranges if len(due := by_shard.get(r.shard, [])) == r.limit}


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
