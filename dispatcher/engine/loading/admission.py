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
        stale: Collection[int | UUID],
        are_parked: bool = False,
    ) -> None:
        """Take deliveries that were read from the table, except stale ones.

        `stale` is the set of DeliveryBuffer.reading. `are_parked` is True if the deliveries are
        parked rows: without room they stay so. Raise StoreError or StatementTimeoutError.
        """
        await self._load(deliveries)
        to_park = self._buffer.admit(deliveries, self._clock.now(), stale)
        self._on_admitted()
        if not are_parked:
            await park(self._deliveries, self._buffer, to_park)

    async def admit_new(
        self,
        deliveries: Sequence[Delivery],
        *,
        parked: Collection[UUID],
        stale: Collection[int | UUID],
    ) -> bool:
        """Take deliveries that were just made, except stale ones.

        The row of a stale one is read again: it may be gone, or be a retry of an ended delivery.
        `parked` are endpoints with new rows that stay in the table. Return True if another daemon
        may send some of these now, as they are in its shards. `stale` is the set of
        DeliveryBuffer.reading. Raise StoreError or StatementTimeoutError.
        """
        await self._load(deliveries, parked)
        self._buffer.parked.note(parked)
        is_elsewhere = any(self._is_sent_elsewhere(id_) for id_ in parked)
        changed = _concerning(deliveries, stale)
        if changed:
            self._buffer.requeue_unread(
                d for d in deliveries if d.id in changed or d.endpoint_id in changed
            )
        to_park = self._buffer.admit(deliveries, self._clock.now(), changed)
        self._on_admitted()
        await park(self._deliveries, self._buffer, to_park)
        return is_elsewhere

    def _is_sent_elsewhere(self, endpoint_id: UUID) -> bool:
        is_foreign = self._endpoints.home_shard(endpoint_id) not in self._buffer.owned
        return is_foreign and self._endpoints[endpoint_id].may_send

    async def _load(self, deliveries: Sequence[Delivery], parked: Collection[UUID] = ()) -> None:
        """Read the endpoints; after any error the deliveries are read again."""
        try:
            await self._endpoints.load([d.endpoint_id for d in deliveries] + list(parked))
        except BaseException:
            self._buffer.requeue_unread(deliveries)
            raise


def _concerning(deliveries: Sequence[Delivery], stale: Collection[int | UUID]) -> set[int | UUID]:
    """Return the part of `stale` that may concern these deliveries: mostly nothing.

    During a flood `stale` has the ids of all that was recorded since. To ask it for the id and
    the endpoint of each new delivery would take longer.
    """
    endpoints = {id_ for id_ in stale if isinstance(id_, UUID)}
    return endpoints.union({delivery.id for delivery in deliveries}.intersection(stale))
