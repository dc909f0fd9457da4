"""Load rows from the table into memory: rows due soon, and parked rows if their queue has room."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import takewhile, zip_longest
from time import monotonic
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.clock import Clock
from dispatcher.engine.delivery_buffer import NEVER_READ, DeliveryBuffer
from dispatcher.engine.endpoint_cache import EndpointCache
from dispatcher.store.deliveries import Deliveries, Range

HORIZON = 60.0
"""Retries due within this many seconds are held in memory."""
READ_AHEAD = 30.0
"""A shard is read again when less than this many seconds of its horizon are left."""
READ_WHEN_FULL = 2_000
"""Rows read at once while memory is full; most of them are only parked."""
SWEEP_EVERY = 15.0
"""Seconds between two sweeps of all owned shards."""
OVERDUE = 5.0
"""A sweep looks for rows that are overdue by more seconds than this and not in memory."""
RESCAN_EVERY = 5.0
"""Seconds between two searches for endpoints with parked rows."""
FEED_AT_ONCE = 100
"""Endpoints whose parked rows are read in one pass."""
FEED_MOST = 5_000
"""Parked rows read in one statement."""
PASS = 1.0
"""Seconds between two passes of an idle loader."""


class Loader:
    """The stage that loads rows from the table.

    `admit(found, settled, are_parked)` takes the rows that were read. `wake` is set when shards
    were gained or an endpoint queue needs its parked rows.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        buffer: DeliveryBuffer,
        endpoints: EndpointCache,
        clock: Clock,
        *,
        admit: Callable[[Sequence[Delivery], Collection[int | UUID], bool], Awaitable[None]],
        wake: asyncio.Event,
    ) -> None:
        self._deliveries = deliveries
        self._buffer = buffer
        self._endpoints = endpoints
        self._clock = clock
        self._admit = admit
        self.wake = wake
        self._swept_at = 0.0
        self._sweep_on: Mapping[int, float] = {}  # shards with more rows: where the sweep continues
        self._rescanned_at = float("-inf")

    def shards_changed(self) -> None:
        """Search for parked rows at once: those of a new shard are not known yet."""
        self._rescanned_at = float("-inf")
        self.wake.set()

    def sweep_now(self) -> None:
        """Sweep in the next pass, even if the last sweep was a short time ago."""
        self._swept_at = float("-inf")

    async def run_once(self) -> float:
        """Make one pass, and return the seconds to the next.

        Raises StoreUnavailable or StatementTimeout.
        """
        behind = await self._read_ahead()
        if monotonic() - self._swept_at >= SWEEP_EVERY:
            if await self._sweep():
                behind = True  # there are more rows: the next pass sweeps again
            else:
                self._swept_at = monotonic()
        if monotonic() - self._rescanned_at >= RESCAN_EVERY:
            rescanned_at = monotonic()
            found = await self._deliveries.parked_endpoints()
            await self._endpoints.load(found)
            self._buffer.note_parked(found)
            self._rescanned_at = rescanned_at
        behind = await self._feed() or behind
        return 0.0 if behind else PASS

    async def _read_ahead(self) -> bool:
        """Read due rows, and with enough room those due within HORIZON.

        Return True if more due rows are left than were read.
        """
        now = self._clock.now()
        room, before = self._buffer.room_for_later, now + HORIZON
        if not room:
            room, before = self._buffer.room or READ_WHEN_FULL, now
        wanted = [s for s in self._buffer.owned if self._wants_reading(s, before)]
        if not wanted:
            return False
        ranges = self._ranges({s: self._buffer.watermark(s) for s in wanted}, room)
        for shard in wanted:
            self._buffer.raise_watermark(shard, before)
        try:
            found = await self._read(ranges, before)
        except BaseException:
            for r in ranges:
                self._buffer.lower_watermark(r.shard, r.low)
            raise
        cut = cut_short(ranges, found)
        for shard, last in cut.items():
            self._buffer.lower_watermark(shard, last)
        return any(last <= now for last in cut.values())

    async def _sweep(self) -> bool:
        """Read overdue rows that are neither in memory nor parked, such as rows others inserted.

        Return True if there are more of them than one statement reads. Rows that were read are in
        memory or parked then, so every pass gets further.
        """
        owned = self._buffer.owned
        lows = {s: low for s, low in self._sweep_on.items() if s in owned}
        lows = lows or dict.fromkeys(owned, NEVER_READ)
        if not lows:
            return False
        ranges = self._ranges(lows, max(self._buffer.room, READ_WHEN_FULL))
        found = await self._read(ranges, self._clock.now() - OVERDUE)
        self._sweep_on = cut_short(ranges, found)
        return bool(self._sweep_on)

    async def _read(self, ranges: list[Range], before: float) -> list[Delivery]:
        with self._buffer.reading() as settled:
            found = await self._deliveries.due(ranges, before)
            await self._admit(found, settled, False)
        return found

    async def _feed(self) -> bool:
        """Read as many parked rows as the queues have room for.

        Return True if there are more endpoints with room than one pass reads.
        """
        hungry = in_turns(
            self._buffer.endpoints_needing_refill(), lambda i: self._endpoints[i].environment_id
        )
        most: dict[UUID, int] = {}
        in_order = []
        for endpoint_id in hungry[:FEED_AT_ONCE]:
            wanted = self._wanted(endpoint_id)
            if self._buffer.queues[endpoint_id].ordered:
                in_order.append((endpoint_id, self._endpoints.home(endpoint_id), wanted))
            else:
                most[endpoint_id] = wanted
        for endpoint_id, home, wanted in in_order:
            await self._feed_in_order(endpoint_id, home, wanted)
        if most:
            await self._feed_together(most)
        return len(most) + len(in_order) < len(hungry)

    def _wanted(self, endpoint_id: UUID) -> int:
        """Return how many parked rows of an endpoint to read.

        Rows in memory stay parked in the table and may come back first, so they are added.
        """
        lane = self._buffer.queues[endpoint_id]
        return self._buffer.room_for(endpoint_id) + len(lane.queue) + len(lane.unsettled)

    async def _feed_together(self, most: Mapping[UUID, int]) -> None:
        """Read parked rows of several endpoints: FEED_MOST in all, or what the first one needs."""
        at_most = max(FEED_MOST, next(iter(most.values())))
        with self._buffer.reading() as settled:
            found = await self._deliveries.parked(most, self._buffer.owned, at_most)
            await self._take(reached(most, found, at_most), found, settled)

    async def _feed_in_order(self, endpoint_id: UUID, home: int, most: int) -> None:
        with self._buffer.reading() as settled:
            found = []
            if home in self._buffer.owned:
                found = await self._deliveries.parked_in_order(endpoint_id, home, most)
            await self._take({endpoint_id: most}, found, settled)

    async def _take(
        self, most: Mapping[UUID, int], found: Sequence[Delivery], settled: Collection[int | UUID]
    ) -> None:
        """Admit parked rows that were read.

        An endpoint without more rows, or without new ones, is not read until the next rescan.
        """
        count = Counter(d.endpoint_id for d in found)
        new = {d.endpoint_id for d in found if d.id not in self._buffer}
        for endpoint_id in most:
            more = count[endpoint_id] == most[endpoint_id] and endpoint_id in new
            if not more and endpoint_id not in settled:
                self._buffer.clear_parked(endpoint_id)
        await self._admit(found, settled, True)

    def _ranges(self, lows: dict[int, float], room: int) -> list[Range]:
        """Share `room` among the shards.

        Rows already in memory come back too, so each shard may return that many more.
        """
        held = self._buffer.count_by_shard()
        share = max(1, room // len(lows))
        return [Range(shard, low, held[shard] + share) for shard, low in lows.items()]

    def _wants_reading(self, shard: int, before: float) -> bool:
        return self._buffer.watermark(shard) < max(before - READ_AHEAD, self._clock.now())


def cut_short(ranges: Iterable[Range], found: Iterable[Delivery]) -> dict[int, float]:
    """Return the shards whose range reached its row limit, with the due time of the last row.

    There may be more rows from that time on.
    """
    of_shard: dict[int, list[float]] = {}
    for delivery in found:
        of_shard.setdefault(delivery.shard, []).append(delivery.next_at)
    return {r.shard: times[-1] for r in ranges if len(times := of_shard.get(r.shard, [])) == r.most}


def reached(
    most: Mapping[UUID, int], found: Sequence[Delivery], at_most: int
) -> Mapping[UUID, int]:
    """Return the endpoints whose parked rows were read completely, as far as was asked.

    If the statement reached its limit, these are the endpoints before the last one in the result.
    """
    if len(found) < at_most:
        return most
    last = found[-1].endpoint_id
    return dict(takewhile(lambda asked: asked[0] != last, most.items()))


def in_turns(endpoint_ids: Iterable[UUID], environment: Callable[[UUID], str]) -> list[UUID]:
    """Order endpoints round robin over their environments.

    Otherwise one environment would wait for all endpoints of another.
    """
    of_each: dict[str, list[UUID]] = {}
    for endpoint_id in endpoint_ids:
        of_each.setdefault(environment(endpoint_id), []).append(endpoint_id)
    return [i for turn in zip_longest(*of_each.values()) for i in turn if i is not None]
