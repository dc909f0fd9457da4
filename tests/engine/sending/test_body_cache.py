"""Bodies are read ahead in few statements, and only as many as fit."""

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID

import pytest

from dispatcher.engine.sending.body_cache import EVENTS_LIMIT, BodyCache

NUMBER = 1_000
ENDPOINT = UUID(int=1)


class Table:
    """Holds every event, and notes how many each statement asked for."""

    def __init__(self, size: int) -> None:
        self.data = f'"{"x" * size}"'
        self.asked: list[int] = []

    async def to_send(self, ids: Collection[int], most_bytes: int) -> list[dict[str, Any]]:
        self.asked.append(len(ids))
        await asyncio.sleep(0)
        return [{"id": i, "type": "t", "environment_id": "e", "data": self.data} for i in ids]


async def sent_in_order(table: Table, times: int, *, capacity: int) -> int:
    """Send all events, each so many times; how often one had to be waited for."""
    misses = sent = 0

    def next_events(_: UUID) -> range:
        return range(sent + 1, NUMBER + 1)

    bodies = BodyCache(table, next_events, capacity=capacity)  # type: ignore[arg-type] # as much of it as is used
    for sent in range(1, NUMBER + 1):
        for _ in range(times):
            if bodies.get(sent, ENDPOINT) is None:
                misses += 1
                await bodies.read(sent, ENDPOINT)
            await asyncio.sleep(0)
    return misses


@pytest.mark.parametrize("times", [1, 10])
async def test_small_events_are_read_ahead_many_at_once(times: int) -> None:
    table = Table(size=100)
    misses = await sent_in_order(table, times, capacity=2**25)
    assert len(table.asked) <= NUMBER // EVENTS_LIMIT + 2
    assert max(table.asked) <= EVENTS_LIMIT
    assert misses <= 2  # the first, and perhaps one of the last


@pytest.mark.parametrize("size", [10_000, 100_000])
async def test_large_events_are_not_read_repeatedly(size: int) -> None:
    table = Table(size)
    await sent_in_order(table, times=1, capacity=10 * size)
    assert sum(table.asked) <= NUMBER + EVENTS_LIMIT  # those of the first statement
