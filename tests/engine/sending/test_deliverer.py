"""Attempts are started a few at a time, so that many that are due at one moment do not hold the loop."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from dispatcher.core.model import Delivery
from dispatcher.engine.sending.deliverer import STARTS_LIMIT, Deliverer
from tests.engine.buffer.test_delivery_buffer import NOW, configure, delivery, opened


async def test_attempts_that_are_due_together_start_a_few_in_each_iteration() -> None:
    buffer = opened()
    endpoints = [UUID(int=100 + number) for number in range(50)]  # a new one has few at a time
    for endpoint in endpoints:
        configure(buffer, endpoint)
    buffer.admit([delivery(number, endpoint) for number, endpoint in enumerate(endpoints)], NOW)
    started: list[int] = []

    async def attempt(taken: Delivery) -> None:
        started.append(taken.id)
        await asyncio.Event().wait()

    stage = deliverer(buffer, attempt)
    running = asyncio.create_task(stage.run())
    async with asyncio.timeout(30):
        while len(started) < 50:
            before = len(started)
            await asyncio.sleep(0)
            assert len(started) - before <= STARTS_LIMIT
    running.cancel()
    for task in [*stage._workers, running]:
        task.cancel()
    await asyncio.gather(running, *stage._workers, return_exceptions=True)
    assert sorted(started) == list(range(50))


def deliverer(buffer: Any, attempt: Any) -> Deliverer:
    anything = cast("Any", SimpleNamespace())
    return Deliverer(
        buffer,
        cast("Any", SimpleNamespace(valid=True)),
        anything,
        anything,
        cast("Any", SimpleNamespace(has_room=True)),
        cast("Any", SimpleNamespace(now=lambda: NOW)),
        attempt=attempt,
        concurrency=100,
        on_refill_needed=lambda: None,
    )
