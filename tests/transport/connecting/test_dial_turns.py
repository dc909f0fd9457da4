"""One connection is started in each iteration of the event loop, in order."""

import asyncio

from dispatcher.transport.connecting.dial_turns import DialTurns


async def test_the_first_connection_starts_at_once_and_the_others_one_an_iteration() -> None:
    turns = DialTurns(asyncio.get_running_loop())
    started: list[int] = []

    async def start(number: int) -> None:
        await turns.take("a")
        started.append(number)

    tasks = [asyncio.create_task(start(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert started == [0]
    passed = 0
    while len(started) < 5:
        before = len(started)
        await asyncio.sleep(0)
        assert len(started) - before <= 1
        passed += 1
        assert passed < 20
    assert started == [0, 1, 2, 3, 4]
    await asyncio.gather(*tasks)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.wait_for(start(5), 30)


async def test_an_environment_with_many_waits_for_one_with_few() -> None:
    turns = DialTurns(asyncio.get_running_loop())
    started: list[str] = []

    async def start(environment_id: str) -> None:
        await turns.take(environment_id)
        started.append(environment_id)

    async with asyncio.TaskGroup() as group:
        for environment_id in ("a", "a", "a", "b", "c"):
            group.create_task(start(environment_id))
    assert started == ["a", "a", "b", "c", "a"], "the first one at once, the others in turn"


async def test_a_request_that_gives_up_holds_back_no_other() -> None:
    turns = DialTurns(asyncio.get_running_loop())
    first, given_up, other = (asyncio.create_task(turns.take("a")) for _ in range(3))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait_for(asyncio.gather(first, other), 30)
    assert given_up.cancelled()
