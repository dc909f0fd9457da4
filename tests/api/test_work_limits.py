"""Memory and threads for requests: what one environment may use of them."""

import asyncio
from contextlib import ExitStack
from threading import Event

import pytest

from dispatcher.api.types import HttpError
from dispatcher.api.work_limits import BODIES_LIMIT_BYTES, SHARES, WAITING_OF_ONE_LIMIT, WorkLimits

SHARE = BODIES_LIMIT_BYTES // SHARES


def test_one_environment_cannot_fill_the_memory_with_bodies() -> None:
    work = WorkLimits(2**20)
    with ExitStack() as held:
        held.enter_context(work.body("a", SHARE))
        with pytest.raises(HttpError, match="large") as refused, work.body("a", 1):
            pass
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
        for other in "bcd":
            held.enter_context(work.body(other, SHARE))
        with pytest.raises(HttpError), work.body("e", 1):
            pass
    with work.body("a", SHARE):
        pass


def test_one_body_of_the_largest_size_always_has_room() -> None:
    with WorkLimits(BODIES_LIMIT_BYTES).body("a", BODIES_LIMIT_BYTES):
        pass


async def test_one_environment_holds_one_thread_and_a_few_places() -> None:
    work, go = WorkLimits(2**20), Event()
    first = [
        asyncio.create_task(work.in_thread("a", go.wait)) for _ in range(1 + WAITING_OF_ONE_LIMIT)
    ]
    await asyncio.sleep(0)
    with pytest.raises(HttpError, match="wait"):
        await work.in_thread("a", go.wait)
    assert await work.in_thread("b", lambda: 1) == 1
    go.set()
    assert all(await asyncio.gather(*first))


async def test_one_environment_makes_one_long_list_at_a_time() -> None:
    work = WorkLimits(2**20)
    async with work.listing("a"), work.listing("b"):
        waiting = asyncio.create_task(_listed(work, "a"))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def _listed(work: WorkLimits, key: str) -> bool:
    async with work.listing(key):
        return True
