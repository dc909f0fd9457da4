"""An ordered endpoint: one in flight, in the order of the fan-out, a failing one blocks the rest."""

from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver


async def test_an_ordered_endpoint_gets_one_at_a_time_in_order(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    await story.subscribe(receiver.url, ordered=True)
    await story.subscribe(another.url)
    receiver.otherwise = Answer(200, delay=0.001)
    await daemons.start()
    for n in range(0, 40, 20):
        await story.insert(20, first=n)
    await story.ended(DELIVERED=80)
    assert receiver.peak == 1
    assert [*numbers(receiver.requests)] == [*range(40)]


async def test_a_failing_event_blocks_those_behind_it_until_it_is_delivered(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, ordered=True)
    receiver.answers = [200, 200, 500, 500]
    await daemons.start(retry={"base": "100ms"})
    await story.insert(10, first=0)
    await story.ended(DELIVERED=10)
    order = [n for r in receiver.requests for n in numbers([r])]
    assert order == [0, 1, 2, 2, 2, *range(3, 10)]


async def test_an_event_that_failed_for_good_makes_way_for_the_next(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, ordered=True)
    receiver.answers = [200, 500, 500]
    await daemons.start(retry={"retries": 1, "base": "50ms"})
    await story.insert(5, first=0)
    await story.ended(DELIVERED=4, FAILED=1)
    order = [n for r in receiver.requests for n in numbers([r])]
    assert order == [0, 1, 1, 2, 3, 4]


async def test_a_restart_in_the_middle_keeps_the_order(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, ordered=True)
    receiver.otherwise = Answer(200, delay=0.002)
    first = await daemons.start()
    await story.insert(40, first=0)
    await receiver.wait_for(20)
    await daemons.stop(first)
    await daemons.start()
    await story.ended(DELIVERED=40)
    order = [n for r in receiver.requests for n in numbers([r])]
    assert order == [*range(40)]
