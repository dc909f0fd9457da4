"""An ordered endpoint: one in flight, in the order of the fan-out, a failing one blocks the rest."""

import asyncio

import pytest

from dispatcher.core.model import ClockSetBack
from dispatcher.store.queries.daemons import Daemons as DaemonsTable
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.end_to_end.inside import holds
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver
from tests.store import rows
from tests.waiting import until


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.parametrize("attempt", [0, 1])
async def test_rows_read_before_they_are_moved_do_not_wait_for_the_length_of_a_clock_step(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    attempt: int,
) -> None:
    """The owner died, and the clock was set back by an hour: its rows are an hour ahead."""
    endpoint = (await story.subscribe(receiver.url, ordered=True, home_shard=3)).id
    dead = Session(story.dsn, "dead")
    await DaemonsTable(dead).join(77)
    await DaemonsTable(dead).claim_shards(77, 64)
    await dead.close()
    ahead = "UPDATE dispatcher.daemons SET renewed_at = clock_timestamp() + interval '1 h'"
    await story.connection.execute(ahead)
    first = await rows.delivery(
        story.connection, endpoint, attempt=attempt, due_in=3_601, parked=True
    )
    is_read, bring_forward = asyncio.Event(), Deliveries.bring_forward

    async def late(
        self: Deliveries, step: ClockSetBack, above: int, at_most: int
    ) -> tuple[int | None, int]:
        await is_read.wait()
        return await bring_forward(self, step, above, at_most)

    monkeypatch.setattr(Deliveries, "bring_forward", late)
    daemon = await daemons.start()
    if attempt:
        await until(lambda: holds(daemon, first.id), "it is in memory with its old time")
        is_read.set()
    await receiver.wait_for(1)
    await story.ended(DELIVERED=1)
    is_read.set()
