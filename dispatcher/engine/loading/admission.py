"""Take deliveries into memory, with the endpoints that they are for."""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.loading.parking import park
from dispatcher.store.queries.deliveries import Deliveries


class Admission:
    """The way of deliveries into memory.

    `on_admitted` is called when some may have come into memory, and starts what can start.
    """

    def __init__(
        self,
        buffer: DeliveryBuffer,
        endpoints: EndpointCache,
        deliveries: Deliveries,
        clock: Clock,
        on_admitted: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._clock = clock
        self._on_admitted = on_admitted

    async def admit(
        self,
        deliveries: Sequence[Delivery],
        *,
        stale: Collection[int | UUID] = (),
        parked: Collection[UUID] = (),
        are_parked: bool = False,
    ) -> None:
        """Take deliveries that were read from the table, or just written to it.

        `stale` is the set of DeliveryBuffer.reading. `parked` are endpoints with rows that stay in
        the table. `are_parked` is True if the deliveries are parked rows: without room they stay
        so. Raises StoreError or StatementTimeoutError.
        """
        try:
            await self._endpoints.load([d.endpoint_id for d in deliveries] + list(parked))
        except BaseException:
            self._buffer.requeue_unread(deliveries)
            raise
        self._buffer.note_parked(parked)
        to_park = self._buffer.admit(deliveries, self._clock.now(), stale)
        self._on_admitted()
        if not are_parked:
            await park(self._deliveries, self._buffer, to_park)
