"""When the attempts of deliveries start that are due, or have just come into memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import cast
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.admission import Admission
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.ownership.lease import Lease
from dispatcher.engine.sending.deliverer import STARTS_LIMIT, Deliverer
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.store.queries.deliveries import Deliveries
from tests.engine.buffer.test_delivery_buffer import NOW, configure, delivery, opened


class Standing:
    """Stands for lease, recorder and endpoint cache: `is_valid` says whether a send may start."""

    has_room = True

    def __init__(self, *, is_valid: bool) -> None:
        self.is_valid = is_valid

    async def load(self, ids: Iterable[UUID]) -> None:
        pass


def made(
    buffer: DeliveryBuffer,
    attempt: Callable[[Delivery], Awaitable[None]],
    *,
    concurrency: int,
    valid: bool = True,
) -> Deliverer:
    stands = Standing(is_valid=valid)
    return Deliverer(
        buffer,
        cast(Lease, stands),
        cast(Deliveries, None),
        cast(Recorder, stands),
        Clock(),
        attempt=attempt,
        concurrency=concurrency,
        on_refill_needed=lambda: None,
    )


async def started_by_admit(*, valid: bool = True, running: bool = True) -> int:
    """Return how many attempts are in flight when three deliveries were admitted."""

    async def attempt(_: Delivery) -> None:
        await asyncio.sleep(0)

    buffer = opened()
    deliverer = made(buffer, attempt, valid=valid, concurrency=2)
    run = asyncio.create_task(deliverer.run())
    await asyncio.sleep(0)
    if not running:
        run.cancel()
        await asyncio.wait([run])
    admission = Admission(
        buffer,
        cast(EndpointCache, Standing(is_valid=valid)),
        cast(Deliveries, None),
        Clock(),
        deliverer.start,
    )
    await admission.admit([delivery(n) for n in range(3)], stale=())
    in_flight = deliverer.in_flight
    await deliverer.drain()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    return in_flight


async def test_admitted_deliveries_start_before_the_next_turn_of_the_event_loop() -> None:
    assert await started_by_admit() == 2


@pytest.mark.parametrize(("valid", "running"), [(False, True), (True, False)])
async def test_without_a_lease_or_in_a_drain_none_starts(*, valid: bool, running: bool) -> None:
    assert await started_by_admit(valid=valid, running=running) == 0


async def test_of_many_that_are_due_together_some_start_in_each_turn_of_the_event_loop() -> None:
    buffer = opened()
    endpoints = [UUID(int=100 + number) for number in range(50)]  # a new one has few at a time
    for endpoint in endpoints:
        configure(buffer, endpoint)
    buffer.admit([delivery(number, endpoint) for number, endpoint in enumerate(endpoints)], NOW)
    started: list[int] = []
    answers = asyncio.Event()

    async def attempt(taken: Delivery) -> None:
        started.append(taken.id)
        await answers.wait()

    deliverer = made(buffer, attempt, concurrency=100)
    run = asyncio.create_task(deliverer.run())
    async with asyncio.timeout(30):
        while len(started) < len(endpoints):
            before = len(started)
            await asyncio.sleep(0)
            assert len(started) - before <= STARTS_LIMIT
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    answers.set()
    await deliverer.drain()
    assert sorted(started) == list(range(50))
