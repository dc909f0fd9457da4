"""How the threads of lookups are shared out between environments."""

import asyncio
from collections import Counter

import pytest

from dispatcher.transport.addresses.lookup_threads import LookupThreads
from dispatcher.transport.addresses.resolver import THREADS_LIMIT, THREADS_OF_ONE_LIMIT


class Flood:
    """Environments that want more threads than they get, and keep each that they get."""

    def __init__(self, threads: LookupThreads) -> None:
        self._threads = threads
        self._tasks: list[asyncio.Task[None]] = []
        self.given: list[str] = []

    @property
    def held(self) -> Counter[str]:
        """Return the number of threads of each environment."""
        return Counter(self.given)

    async def add(self, environment_id: str, count: int) -> None:
        """Let `count` callers of an environment ask."""
        self._tasks += [asyncio.create_task(self._take(environment_id)) for _ in range(count)]
        await asyncio.sleep(0)

    async def _take(self, environment_id: str) -> None:
        await self._threads.take(environment_id)
        self.given.append(environment_id)

    async def give_back(self, environment_id: str) -> None:
        """Let the oldest lookup of an environment end."""
        self.given.remove(environment_id)
        self._threads.give_back(environment_id)
        await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.parametrize("kind", list(THREADS_LIMIT))
async def test_an_environment_alone_has_its_whole_part(kind: str) -> None:
    flood = Flood(LookupThreads(THREADS_LIMIT[kind], THREADS_OF_ONE_LIMIT[kind]))
    await flood.add("a", 40)
    assert flood.held == {"a": THREADS_OF_ONE_LIMIT[kind]}
    await flood.end()


@pytest.mark.parametrize(("count", "free"), [(4, 8), (8, 5), (20, 2)])
async def test_many_silent_environments_leave_threads_to_another(count: int, free: int) -> None:
    threads = LookupThreads(THREADS_LIMIT["new"], THREADS_OF_ONE_LIMIT["new"])
    flood = Flood(threads)
    for number in range(count):
        await flood.add(f"silent {number}", 100)
    for _ in range(200):
        await flood.give_back(next(iter(flood.given)))
    assert THREADS_LIMIT["new"] - len(flood.given) >= free
    for _ in range(free // 2):
        await asyncio.wait_for(threads.take("other"), 5)
    await flood.end()


async def test_a_free_thread_goes_to_the_environment_that_holds_the_fewest() -> None:
    flood = Flood(LookupThreads(4, 4))
    for environment_id in ("a", "a", "b", "c"):
        await flood.add(environment_id, 1)
    assert flood.held == {"a": 2, "b": 1, "c": 1}
    await flood.add("a", 1)
    await flood.add("b", 1)
    await flood.add("new", 1)
    await flood.give_back("a")
    assert flood.held == {"a": 1, "b": 1, "c": 1, "new": 1}
    await flood.end()


async def test_of_equal_environments_the_one_served_longest_ago_comes_first() -> None:
    threads = LookupThreads(2, 2)
    flood = Flood(threads)
    await flood.add("a", 1)
    await flood.add("b", 1)
    for environment_id in ("x", "y"):
        await flood.add(environment_id, 2)
    served = []
    for holder in ("a", "b"):
        await flood.give_back(holder)
        served.append({name for name in ("x", "y") if flood.held.get(name)})
    assert served == [{"x"}, {"x", "y"}]
    await flood.end()


async def test_a_caller_that_gives_up_leaves_its_turn_to_the_next() -> None:
    threads = LookupThreads(1, 1)
    await threads.take("a")
    first, second = (asyncio.create_task(threads.take("b")) for _ in range(2))
    await asyncio.sleep(0)
    threads.give_back("a")
    first.cancel()  # it has the thread already
    await asyncio.wait_for(second, 5)
    third = asyncio.create_task(threads.take("c"))
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.wait([third])
    threads.give_back("b")
    await asyncio.wait_for(threads.take("d"), 5)
