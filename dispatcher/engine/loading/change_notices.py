"""Apply change notices: each is of one pending delivery that was changed, but not by its owner.

API, dashboard and commands write them when people retry or cancel deliveries, maintenance when
deliveries expire, and daemons when they record an attempt of a shard that they may have lost.

The lease calls this after a heartbeat whose answer says that change notices wait.
"""

from collections.abc import Callable

from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.loading.parking import park
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.deliveries import Deliveries

NOTICES_LIMIT = 500
"""Change notices applied with one heartbeat, which must not be delayed for long."""


class ChangeNoticeReader:
    """The reader of change notices for the shards of this daemon.

    `now` returns the database's time in epoch seconds; `wake` is called when a delivery may start.
    """

    def __init__(
        self,
        notices: ChangeNotices,
        deliveries: Deliveries,
        buffer: DeliveryBuffer,
        endpoints: EndpointCache,
        *,
        now: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._notices = notices
        self._deliveries = deliveries
        self._buffer = buffer
        self._endpoints = endpoints
        self._now = now
        self._wake = wake
        self._after_id = 0

    async def apply_next(self) -> bool:
        """Apply the next change notices. Return True if there may be more.

        A notice for a delivery in flight stays and is read again later. A notice is removed after
        it was applied, so that none is lost; applying one twice does no harm. Raise StoreError or
        StatementTimeoutError.
        """
        with self._buffer.reading() as stale:
            notices = await self._notices.waiting(self._buffer.owned, self._after_id, NOTICES_LIMIT)
            await self._endpoints.load(notice.endpoint_id for notice in notices)
            applied = self._buffer.apply_changes(notices, self._now(), stale)
        self._after_id = notices[-1].id if len(notices) == NOTICES_LIMIT else 0
        self._wake()
        await park(self._deliveries, self._buffer, applied.to_park)
        if applied.notice_ids:
            await self._notices.remove(applied.notice_ids)
        return self._after_id > 0
