"""An endpoint that does not answer, or answers slowly, delays only its own queue."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dispatcher.engine import engine as engine_module
from dispatcher.engine.buffer import endpoint_queue, endpoint_queues
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import HANG, Answer, Receiver
from tests.waiting import until

PROMPT = 20.0
"""Seconds in which a healthy endpoint has everything, also on a busy machine."""
LONG = "30s"
"""A timeout of requests that hang, longer than that: who waits for one of them is late."""


@asynccontextmanager
async def not_waiting_for(hanging: Receiver) -> AsyncIterator[None]:
    """Fail if the block takes long, unless no hanging request ended before: then the machine is slow.

    Each that ends makes room for another one.
    """
    began, requests = time.monotonic(), len(hanging.requests)
    yield
    assert time.monotonic() - began < PROMPT or len(hanging.requests) == requests


async def test_a_hanging_endpoint_stays_within_its_limit_and_delays_no_other(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    receiver.otherwise = HANG
    await story.subscribe(receiver.url, max_in_flight=4)
    await story.subscribe(another.url)
    await daemons.start(delivery={"timeout": LONG})
    for n in range(10):
        async with not_waiting_for(receiver):
            await story.insert(20, first=20 * n)
            await another.wait_for(20 * (n + 1))
    assert receiver.peak == 4
    await story.ended(DELIVERED=200, PENDING=200)


@pytest.mark.long
async def test_many_hanging_endpoints_delay_no_other_even_after_a_start(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    another: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (endpoint_queue, endpoint_queues):  # the other one is quick on a slow machine too
        monkeypatch.setattr(module, "SLOW_SECONDS", 5.0)
    receiver.otherwise = HANG
    for n in range(20):
        await story.subscribe(f"{receiver.url}{n}", "role.*")
    await story.subscribe(another.url, "user.*")
    await story.insert(100, type_="role.created")
    await daemons.start(delivery={"concurrency": 160, "max_in_flight": 32, "timeout": LONG})
    for n in range(20):
        async with not_waiting_for(receiver):
            await story.insert(20, first=20 * n)
            await another.wait_for(20 * (n + 1))
        await asyncio.sleep(0.1)  # the pace of a producer
    assert receiver.peak >= 80
    await until(lambda: receiver.in_flight <= 120, "all of them are found slow")


async def test_the_configured_cap_is_reached_and_not_passed(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    receiver.otherwise = Answer(200, delay=0.05)
    await story.subscribe(receiver.url)
    await daemons.start(delivery={"max_in_flight": 7})
    await story.insert(70)
    await story.ended(DELIVERED=70)
    assert receiver.peak == 7


async def test_no_more_are_in_flight_at_once_than_configured_over_all_endpoints(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    receiver.otherwise = Answer(200, delay=0.02)
    for n in range(10):
        await story.subscribe(f"{receiver.url}{n}")
    await daemons.start(delivery={"concurrency": 12})
    await story.insert(20)
    await story.ended(DELIVERED=200)
    assert receiver.peak == 12


async def test_a_retry_starts_while_every_slot_is_busy(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    receiver.otherwise = Answer(200, delay=0.02)
    await story.subscribe(receiver.url, "role.*")
    await story.subscribe(another.url, "user.*")
    another.answers = [500]
    await daemons.start(delivery={"concurrency": 4})
    await story.insert(400, type_="role.created")  # two seconds of work
    await receiver.wait_for(1)
    await story.insert(type_="user.created")
    await another.wait_for(2)
    assert len(receiver.requests) < 400


@pytest.mark.long
async def test_what_exceeds_a_queue_is_parked_and_all_arrives_once(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    another: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "QUEUE_SHARE", 0.0)
    may_answer = asyncio.Event()
    receiver.otherwise = Answer(200, after=may_answer)
    await story.subscribe(receiver.url)
    await story.subscribe(another.url)
    await daemons.start(delivery={"timeout": LONG})
    await story.insert(1_800)
    await another.wait_for(1_800)
    assert await story.count("parked") >= 1_800 - engine_module.QUEUED_LIMIT - 32
    held = numbers(receiver.requests)  # on a slow machine they time out, and are tried again
    may_answer.set()
    await story.ended(DELIVERED=3_600)
    arrived = numbers(receiver.requests)
    assert arrived.keys() == {*range(1, 1_801)}
    assert {arrived[number] for number in arrived.keys() - held.keys()} == {1}


@pytest.mark.long
async def test_very_short_queues_lose_nothing(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "QUEUED_LIMIT", 10)
    monkeypatch.setattr(engine_module, "BUFFERED_LIMIT", 40)
    await story.subscribe(receiver.url + "a")
    await story.subscribe(receiver.url + "b")
    await story.subscribe(receiver.url + "c")
    receiver.answers = [500] * 50
    await daemons.start(retry={"base": "100ms", "factor": 1})
    await story.insert(100)
    await story.ended(DELIVERED=300)
    assert len(receiver.requests) == 350


async def test_retries_that_fill_the_memory_do_not_keep_new_deliveries_out(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    another: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "BUFFERED_LIMIT", 200)
    receiver.otherwise = 500
    await story.subscribe(receiver.url, "role.*")
    await story.subscribe(another.url, "user.*")
    await daemons.start(retry={"base": LONG})
    await story.insert(400, type_="role.created")
    await receiver.wait_for(400)
    await until(lambda: _all_retried(story), "each failed once")
    for n in range(3):
        began = time.monotonic()
        await story.insert(20, first=20 * n)
        await another.wait_for(20 * (n + 1))
        assert time.monotonic() - began < PROMPT


async def test_hanging_endpoints_that_fill_the_memory_do_not_block_a_healthy_one(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    another: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "BUFFERED_LIMIT", 200)
    receiver.otherwise = HANG
    for n in range(4):
        await story.subscribe(f"{receiver.url}{n}", "role.*")
    await story.subscribe(another.url, "user.*")
    await daemons.start(delivery={"timeout": LONG})
    await story.insert(100, type_="role.created")
    await receiver.wait_for(4 * 32)
    for n in range(3):
        async with not_waiting_for(receiver):
            await story.insert(20, first=20 * n)
            await another.wait_for(20 * (n + 1))


@pytest.mark.long
async def test_hanging_endpoints_of_an_environment_leave_slots_to_a_slow_one_of_another(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    receiver.otherwise = HANG
    another.otherwise = Answer(200, delay=endpoint_queue.SLOW_SECONDS)
    for n in range(40):
        await story.subscribe(f"{receiver.url}{n}")
    await story.add_environment("env_other")
    slow = await story.subscribe(another.url, environment_id="env_other", max_in_flight=1)
    await daemons.start(delivery={"concurrency": 64, "timeout": LONG})
    await story.insert(4)
    await receiver.wait_for(64 // 2 * 7 // 8)
    await story.insert(2, environment_id="env_other")  # the first shows that it is slow
    await another.wait_for(2)
    assert {row["endpoint_id"] for row in await story.attempts()} <= {slow.id}


async def _all_retried(story: Story) -> bool:
    return await story.count("attempt = 1") == 400
