"""When the attempts of deliveries start that have just come into memory."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import cast
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.ownership.lease import Lease
from dispatcher.engine.sending.deliverer import Deliverer
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.store.queries.deliveries import Deliveries
from tests.engine.buffer.test_delivery_buffer import delivery, opened


class Standing:
    """Stands for lease, recorder and endpoint cache: `valid` says whether a send may start."""

    has_room = True

    def __init__(self, *, valid: bool) -> None:
        self.valid = valid

    async def load(self, ids: Iterable[UUID]) -> None:
        pass


async def started_by_admit(*, valid: bool = True, running: bool = True) -> int:
    """Return how many attempts are in flight when three deliveries were admitted."""

    async def attempt(_: Delivery) -> None:
        await asyncio.sleep(0)

    stands = Standing(valid=valid)
    deliverer = Deliverer(
        opened(),
        cast(Lease, stands),
        cast(EndpointCache, stands),
        cast(Deliveries, None),
        cast(Recorder, stands),
        Clock(),
        attempt=attempt,
        concurrency=2,
        on_refill_needed=lambda: None,
    )
    run = asyncio.create_task(deliverer.run())
    await asyncio.sleep(0)
    if not running:
        run.cancel()
        await asyncio.wait([run])
    await deliverer.admit([delivery(n) for n in range(3)])
    in_flight = deliverer.in_flight
    await deliverer.drained()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    return in_flight


async def test_admitted_deliveries_start_before_the_next_turn_of_the_event_loop() -> None:
    assert await started_by_admit() == 2


@pytest.mark.parametrize(("valid", "running"), [(False, True), (True, False)])
async def test_without_a_lease_or_in_a_drain_none_starts(*, valid: bool, running: bool) -> None:
    assert await started_by_admit(valid=valid, running=running) == 0
