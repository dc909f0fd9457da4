"""Load rows from the table into memory: rows due soon, and parked rows if their queue has room.

An old snapshot keeps the rows of ended deliveries, and a read has to pass them. So each part of a
pass fails on its own, and asks for less after a timeout.
"""

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic

from dispatcher.core.model import Delivery
from dispatcher.engine.batch_size import BatchSize
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.watermarks import NEVER_READ
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.loading.overdue_search import OverdueSearch
from dispatcher.engine.loading.parked_search import ParkedSearch
from dispatcher.engine.loading.refill import Admit, Refill
from dispatcher.store.errors import StatementTimeoutError, StoreError, StoreUnavailableError
from dispatcher.store.queries.deliveries import Deliveries, Range
from dispatcher.telemetry import observe

READ_AHEAD_LIMIT_SECONDS = 60.0
"""Retries due within this time are held in memory."""
READ_AGAIN_SECONDS = 30.0
"""A shard is read again when the retries that were read ahead last for less than this."""
ROWS_WHEN_FULL = 2_000
"""Rows read at once while memory is full; most of them are only parked."""
OVERDUE_SECONDS = 5.0
"""The search is for rows that have been due for longer than this and are not in memory."""
RECENT_SECONDS = 60.0
"""If one shard takes too long to read, rows due for longer than this are left to the search."""
GROW_SECONDS = 0.3
"""A read that takes longer does not make the next one larger, as that could time out."""
IDLE_SECONDS = 1.0
"""Time between two passes of an idle loader."""


class ReadTimeoutError(StatementTimeoutError):
    """The server gave up on a read of due rows, which may ask for less the next time."""


class Loader:
    """The stage that loads rows from the table.

    `admit` takes the rows that were read. `wake` is set when the owned shards have changed, rows
    are to be read again, or an endpoint queue needs its parked rows.
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
        self._size = BatchSize()
        self._overdue = OverdueSearch()
        # The due times from which the next pass continues the search for overdue rows, by shard.
        self._overdue_from: Mapping[int, float] = {}
        self._read_seconds = 0.0
        self._parked = ParkedSearch(deliveries, buffer, endpoints)
        self._refill = Refill(deliveries, buffer, endpoints, admit)

    def note_parked(self) -> None:
        """Search soon for parked rows: another daemon has parked some."""
        self._parked.note_parked()
        self.wake.set()

    def reread_shards(self) -> None:
        """Read all shards again: they may have rows that memory does not know.

        A fan-out whose answer was lost may be committed.
        """
        self._buffer.invalidate_watermarks()
        self.wake.set()

    def shards_changed(self) -> None:
        """Search for parked rows at once: those of a new shard are not known yet."""
        self._parked.search_now()
        self.wake.set()

    async def run_once(self) -> float:
        """Make one pass, and return the seconds to the next, 0.0 if there are more rows to read.

        A part that fails does not keep the others from their work, unless the database cannot be
        reached. Raise StoreError or StatementTimeoutError, that of the first part that failed; a
        read that can ask for less after a timeout has not failed.
        """
        has_more, failure = False, None
        search = self._search_overdue
        for part in (self._read_ahead, self._parked.run_once, self._refill.run_once, search):
            try:
                has_more = await part() or has_more
            except StoreUnavailableError:
                raise
            except (StoreError, StatementTimeoutError) as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return 0.0 if has_more else min(IDLE_SECONDS, self._parked.interval)

    async def _read_ahead(self) -> bool:
        """Read due rows, and with enough room those due within READ_AHEAD_LIMIT_SECONDS.

        Return True if due rows or shards are left to read. After a timeout, fewer shards are read
        at once, those with the lowest watermarks first.
        """
        now = self._clock.now()
        room, before = self._buffer.room_for_later, now + READ_AHEAD_LIMIT_SECONDS
        if not room:
            room, before = self._buffer.room or ROWS_WHEN_FULL, now
        lows = {
            shard: self._buffer.watermark(shard)
            for shard in self._buffer.owned
            if self._is_to_read(shard, before, now)
        }
        if not lows:
            return False
        shards = sorted(lows, key=lows.__getitem__)[: self._size.scale(len(self._buffer.owned))]
        ranges = self._ranges({shard: lows[shard] for shard in shards}, room)
        for shard in shards:
            self._buffer.raise_watermark(shard, before)
        try:
            rows = await self._read(ranges, before)
        except BaseException as error:
            for one_range in ranges:
                self._buffer.lower_watermark(one_range.shard, one_range.low)
            if not isinstance(error, ReadTimeoutError):
                raise
            self._ask_for_less(ranges, now, error)
            return True
        self._ask_for_more()
        unread = unread_from(ranges, rows)
        for shard, due in unread.items():
            self._buffer.lower_watermark(shard, due)
        return len(shards) < len(lows) or any(due <= now for due in unread.values())

    def _ask_for_more(self) -> None:
        if self._read_seconds < GROW_SECONDS:
            self._size.grow()

    def _ask_for_less(self, ranges: list[Range], now: float, error: ReadTimeoutError) -> None:
        """Read fewer shards from now on. If it was one, read only recently due rows of all shards.

        The search for overdue rows finds the older ones. Raise `error` if no read can ask for less.
        """
        recent = now - RECENT_SECONDS
        if len(ranges) > 1:
            while self._size.scale(len(self._buffer.owned)) >= len(ranges):
                self._size.shrink()
        elif ranges[0].low < recent:  # in the others it is hardly better, and each costs a timeout
            for shard in self._buffer.owned:
                if self._buffer.watermark(shard) < recent:
                    self._buffer.raise_watermark(shard, recent)
        else:
            raise error
        observe.stages.database_failed("load", error, 0.0)

    async def _search_overdue(self) -> bool:
        """Read overdue rows that are neither in memory nor parked, such as rows others inserted.

        Return True if there are more of them than one statement reads. Rows that were read are in
        memory or parked then, so every pass gets further.
        """
        owned = self._buffer.owned
        if not owned or any(self._buffer.watermark(shard) == NEVER_READ for shard in owned):
            return False  # the first read is still under way, and sees more
        part = self._overdue.next_part(monotonic(), self._clock.now() - OVERDUE_SECONDS)
        if part is None:
            return False
        lows = {shard: low for shard, low in self._overdue_from.items() if shard in owned}
        lows = lows or dict.fromkeys(owned, part.low)
        ranges = self._ranges(lows, max(self._buffer.room, ROWS_WHEN_FULL))
        began = monotonic()
        try:
            rows = await self._read(ranges, part.before)
        except ReadTimeoutError as error:
            self._overdue_from = {}
            self._overdue.note_timeout(monotonic(), monotonic() - began)
            observe.stages.database_failed("load", error, 0.0)
            return False
        self._overdue_from = unread_from(ranges, rows)
        has_more = bool(self._overdue_from)
        self._overdue.note_read(monotonic(), self._read_seconds, has_more=has_more)
        return has_more

    async def _read(self, ranges: list[Range], before: float) -> list[Delivery]:
        with self._buffer.reading() as stale:
            began = monotonic()
            try:
                rows = await self._deliveries.due(ranges, before)
            except StatementTimeoutError as error:
                raise ReadTimeoutError(str(error)) from error
            self._read_seconds = monotonic() - began
            await self._admit(rows, stale=stale)
        return rows

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
