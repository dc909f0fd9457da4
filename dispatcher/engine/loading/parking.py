"""Mark deliveries as parked in the table, because memory has no room for them."""

from collections.abc import Sequence

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.store.queries.deliveries import Deliveries


async def park(table: Deliveries, buffer: DeliveryBuffer, deliveries: Sequence[Delivery]) -> None:
    """Mark the rows of `deliveries` as parked; run no statement if there are none.

    After any error the buffer reads their rows again. Otherwise they would be neither in memory
    nor parked. Raise StoreError or StatementTimeoutError.
    """
    if not deliveries:
        return
    try:
        await table.park(deliveries, buffer.owned)
    except BaseException:
        buffer.requeue_unread(deliveries)
        raise
