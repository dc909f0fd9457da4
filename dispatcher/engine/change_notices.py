"""Apply change notices: API, dashboard and CLI write one for each delivery that they change.

The lease calls this stage with the next heartbeat. A `ChangeNotice` is a change notice.
"""

from collections.abc import Callable

from dispatcher.engine.delivery_buffer import DeliveryBuffer
from dispatcher.engine.endpoint_cache import KnownEndpoints
from dispatcher.engine.parking import park
from dispatcher.store.change_notices import Nudges
from dispatcher.store.deliveries import Deliveries

AT_ONCE = 500
"""Change notices applied with one heartbeat, which must not be delayed for long."""


class Nudged:
    """The reader of change notices.

    `now` returns the database's time in epoch seconds; `wake` is called when a delivery may start.
    """

    def __init__(
        self,
        nudges: Nudges,
        deliveries: Deliveries,
        buffer: DeliveryBuffer,
        endpoints: KnownEndpoints,
        *,
        now: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._nudges = nudges
        self._deliveries = deliveries
        self._buffer = buffer
        self._endpoints = endpoints
        self._now = now
        self._wake = wake
        self._above = 0

    async def heed(self) -> None:
        """Apply the next change notices.

        A notice for a delivery in flight stays and is read again later. A notice is removed after
        it was applied, so that none is lost; applying one twice does no harm. Raises
        StoreUnavailable or StatementTimeout.
        """
        with self._buffer.reading() as settled:
            nudges = await self._nudges.waiting(self._buffer.owned, self._above, AT_ONCE)
            await self._endpoints.know(n.endpoint_id for n in nudges)
            applied = self._buffer.apply_changes(nudges, self._now(), settled)
        self._above = nudges[-1].id if len(nudges) == AT_ONCE else 0
        self._wake()
        await park(self._deliveries, self._buffer, applied.to_park)
        if applied.notice_ids:
            await self._nudges.remove(applied.notice_ids)
