"""Who gets a slot next, who waits, and who is turned away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from dispatcher import shared_slots
from dispatcher.shared_slots import BusyError, SharedSlots


class Crowd:
    """Callers that hold their slot until they are let go. `order` is in which they got one."""

    def __init__(self, slots: SharedSlots) -> None:
        self.slots = slots
        self.order: list[str] = []
        self._holding: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        """Each waits for a slot; the letter before the digit is the key."""
        for name in names:
            self._holding[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._hold(name))
            await self._settle()

    async def go(self, *names: str) -> None:
        for name in names:
            self._holding[name].set()
            await self._settle()

    async def result(self, name: str) -> None:
        await self._tasks[name]

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await self._settle()

    async def end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _hold(self, name: str) -> None:
        async with self.slots.hold(name[0]):
            self.order.append(name)
            await self._holding[name].wait()

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def crowd(opened: AsyncExitStack, slots: int, slots_of_one: int, **limits: float) -> Crowd:
    made = Crowd(SharedSlots(slots, slots_of_one=slots_of_one, **limits))  # type: ignore[arg-type]
    opened.push_async_callback(made.end)
    return made


async def test_one_key_holds_no_more_than_its_slots(opened: AsyncExitStack) -> None:
    of = crowd(opened, 4, 2)
    await of.come("a1", "a2", "a3", "b1")
    assert of.order == ["a1", "a2", "b1"]
    await of.go("a1")
    assert of.order[-1] == "a3"


async def test_keys_take_turns_however_many_wait_for_one(opened: AsyncExitStack) -> None:
    of = crowd(opened, 1, 1)
    await of.come("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    await of.go("a1", "a2", "b1", "c1", "a3", "b2", "a4")
    assert of.order == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    assert of.slots.waiting == 0


async def test_a_caller_waits_no_longer_than_the_limit(opened: AsyncExitStack) -> None:
    of = crowd(opened, 1, 1, wait_seconds=0.01)
    await of.come("a1", "b1")
    with pytest.raises(BusyError, match="in time"):
        await of.result("b1")
    await of.go("a1")
    await of.come("b2")
    assert of.order == ["a1", "b2"]


async def test_the_waiting_places_of_a_key_are_limited(opened: AsyncExitStack) -> None:
    of = crowd(opened, 1, 1, waiting_of_one=2)
    await of.come("a1", "a2", "a3", "a4", "b1")
    with pytest.raises(BusyError, match="too many"):
        await of.result("a4")
    assert of.slots.waiting == 3


async def test_the_longest_queue_gives_up_a_place_for_a_newcomer(opened: AsyncExitStack) -> None:
    of = crowd(opened, 1, 1, waiting=3)
    await of.come("a1", "a2", "a3", "a4", "b1")
    with pytest.raises(BusyError, match="fewer wait"):
        await of.result("a4")
    await of.go("a1", "a2", "b1")
    assert of.order == ["a1", "a2", "b1", "a3"]


async def test_equally_long_queues_give_up_nothing(opened: AsyncExitStack) -> None:
    of = crowd(opened, 1, 1, waiting=2)
    await of.come("a1", "a2", "b1", "c1", "b2")
    for name in ("c1", "b2"):
        with pytest.raises(BusyError, match="too many"):
            await of.result(name)


async def test_a_slot_whose_caller_gave_up_goes_to_the_next(opened: AsyncExitStack) -> None:
    of = crowd(opened, 1, 1)
    await of.come("a1", "b1", "c1")
    await of.give_up("b1")
    assert of.slots.waiting == 1
    await of.give_up("a1")
    assert of.order == ["a1", "c1"]


async def test_a_slot_given_in_the_moment_of_giving_up_is_not_lost(opened: AsyncExitStack) -> None:
    of = crowd(opened, 1, 1)
    await of.come("a1", "b1", "c1")
    of._holding["a1"].set()
    await asyncio.sleep(0)  # a1 ends and hands its slot to b1, which has not woken yet
    await of.give_up("b1")
    assert of.order[-1] == "c1"


async def test_a_newcomer_takes_the_place_of_one_that_gives_up_in_the_same_moment() -> None:
    slots = SharedSlots(1, slots_of_one=1, waiting=2)

    async def take(key: str) -> None:
        async with slots.hold(key):
            pass

    async with slots.hold("a"):
        first, last = (asyncio.create_task(take("a")) for _ in range(2))
        await asyncio.sleep(0)
        assert slots.waiting == 2
        newcomer = asyncio.create_task(take("b"))
        last.cancel()  # the newcomer runs before the wait of this one has ended
        await asyncio.wait({last}, timeout=30)
        for _ in range(10):
            await asyncio.sleep(0)
        assert (last.cancelled(), newcomer.done()) == (True, False)
    await asyncio.gather(first, newcomer)
    assert slots.waiting == 0


async def test_an_error_while_holding_a_slot_frees_it() -> None:
    slots = SharedSlots(1, slots_of_one=1, wait_seconds=0.01)
    for _ in range(2):
        with pytest.raises(ValueError, match="broke"):
            async with slots.hold("a"):
                raise ValueError("broke")


async def test_a_key_rests_as_long_as_it_held_its_slot_and_other_keys_do_not_wait() -> None:
    slots = SharedSlots(1, slots_of_one=1, rest=1.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with slots.hold("a"):
        await asyncio.sleep(0.2)  # the time is the matter here
    left = loop.time()
    async with slots.hold("b"):
        pass
    other = loop.time()
    async with slots.hold("a"):
        again = loop.time()
    assert again - left >= min(left - began, 1.0) - 0.01
    assert other < again


async def test_a_rest_ends_before_the_callers_of_the_key_give_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_slots, "REST_SECONDS", 60.0)
    slots = SharedSlots(1, slots_of_one=1, wait_seconds=2.0, rest=1e9)
    for _ in range(2):
        async with slots.hold("a"):
            await asyncio.sleep(0)
