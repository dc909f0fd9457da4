"""The look for work that nothing has announced."""

import asyncio
from typing import cast

import pytest

from dispatcher.engine.fanout.backstop import (
    BACKSTOP_SECONDS,
    BACKSTOP_WITHOUT_NOTIFY_SECONDS,
    Backstop,
)
from dispatcher.store.queries.queues import Queues, WaitingRow

QUEUES = tuple(WaitingRow.__annotations__)


class Waiting:
    """Stands for the queues; `queue` is the one with work. Notes what was asked."""

    def __init__(self, queue: str | None) -> None:
        self._queue = queue
        self.asked: list[int] = []

    async def waiting(self, *, after_id: int) -> WaitingRow:
        self.asked.append(after_id)
        return cast(WaitingRow, {queue: queue == self._queue for queue in QUEUES})


def backstop(
    waiting: Waiting, *, read_after: int | None = 7, notified: bool = True
) -> tuple[Backstop, dict[str, asyncio.Event]]:
    wakes = {queue: asyncio.Event() for queue in QUEUES}
    queues = cast(Queues, waiting)
    made = Backstop(queues, read_after=lambda: read_after, wakes=wakes, notified=notified)
    return made, wakes


@pytest.mark.parametrize("queue", [None, *QUEUES])
async def test_the_stage_of_a_queue_with_work_is_woken(queue: str | None) -> None:
    waiting = Waiting(queue)
    stage, wakes = backstop(waiting)
    assert await stage.run_once() == BACKSTOP_SECONDS
    assert [name for name, wake in wakes.items() if wake.is_set()] == ([queue] if queue else [])
    assert waiting.asked == [7]


async def test_nothing_is_read_before_the_place_in_the_inbox_is_known() -> None:
    """Otherwise the statement would pass the rows of all events that were ever taken."""
    waiting = Waiting("inbox")
    stage, _ = backstop(waiting, read_after=None)
    assert await stage.run_once() == BACKSTOP_SECONDS
    assert waiting.asked == []


async def test_without_notifications_it_looks_more_often() -> None:
    stage, _ = backstop(Waiting(None), notified=False)
    assert await stage.run_once() == BACKSTOP_WITHOUT_NOTIFY_SECONDS
