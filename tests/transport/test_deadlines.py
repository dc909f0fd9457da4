"""A deadline cuts off what takes too long, and nothing else."""

import asyncio
import time

import pytest

from dispatcher.transport.deadlines import Deadlines


async def test_a_block_that_ends_in_time_raises_nothing() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # the deadline passes


async def test_a_block_that_takes_too_long_ends_with_a_timeout_at_its_deadline() -> None:
    deadlines = Deadlines()
    started = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError), deadlines.within(0.05):
        await asyncio.Event().wait()
    assert 0.04 <= asyncio.get_running_loop().time() - started < 20
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_a_deadline_already_past_cuts_off_at_the_first_wait() -> None:
    with pytest.raises(TimeoutError), Deadlines().within(-1):
        await asyncio.Event().wait()


async def test_each_block_ends_at_its_own_deadline_whatever_the_order_they_began_in() -> None:
    deadlines = Deadlines()
    ended: list[float] = []

    async def block(seconds: float) -> None:
        try:
            with deadlines.within(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append(seconds)

    await asyncio.gather(*map(block, [0.09, 0.03, 0.06, 0.03, 0.09]))
    assert ended == [0.03, 0.03, 0.06, 0.09, 0.09]


async def test_of_deadlines_that_pass_together_one_is_acted_on_in_each_iteration() -> None:
    deadlines = Deadlines()
    items = [Item(deadlines, seconds) for seconds in (0.03, 0.03, 0.02, 0.03, 0.02)]
    time.sleep(0.05)  # noqa: ASYNC251 - the loop is late, so that all have passed
    expired = 0
    async with asyncio.timeout(30):
        while expired < len(items):
            await asyncio.sleep(0)
            before, expired = expired, sum(item.is_expired for item in items)
            assert expired - before <= 1


class Item:
    """Has a deadline."""

    when = 0.0

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.is_expired = False
        deadlines.start(self, seconds, time.monotonic())

    def expire(self) -> None:
        self.is_expired = True


async def test_a_later_block_is_cut_off_though_the_earlier_ones_have_ended() -> None:
    deadlines = Deadlines()
    with deadlines.within(5):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), deadlines.within(0.03):
        await asyncio.Event().wait()
    with pytest.raises(TimeoutError), deadlines.within(0.03):
        await asyncio.Event().wait()


async def test_a_cancellation_from_elsewhere_stays_a_cancellation() -> None:
    deadlines = Deadlines()

    async def block() -> None:
        with deadlines.within(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_at_the_very_deadline_stays_a_cancellation() -> None:
    deadlines = Deadlines()

    async def block() -> None:
        with deadlines.within(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    task = asyncio.create_task(block())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_itself_is_not_disguised() -> None:
    deadlines = Deadlines()

    async def block() -> None:
        with deadlines.within(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("mine") from None

    with pytest.raises(ValueError, match="mine"):
        await block()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_nested_blocks_end_at_their_own_deadline() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), deadlines.within(0.02), deadlines.within(10):
        await asyncio.Event().wait()
    with deadlines.within(10):
        with pytest.raises(TimeoutError), deadlines.within(0.02):
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_queues_of_lengths_no_longer_used_are_forgotten() -> None:
    deadlines = Deadlines()
    for thousandths in range(1, 50):
        with deadlines.within(thousandths / 1000):
            pass
    with pytest.raises(TimeoutError), deadlines.within(0.06):
        await asyncio.Event().wait()
    assert deadlines._queues == {}
