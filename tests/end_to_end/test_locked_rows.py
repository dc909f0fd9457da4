"""A row that another transaction locks, for as long as it likes: all others are sent and recorded."""

from tests.conftest import Connection, connected
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Answer, Receiver


async def test_a_locked_delivery_holds_up_no_other_result(
    story: Story, daemons: Daemons, receiver: Receiver, connection: Connection
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.5)
    await daemons.start()
    await story.insert()
    await receiver.wait_for(1)
    async with connected(story.dsn) as holder, holder.transaction():
        assert await holder.fetchval("SELECT id FROM dispatcher.deliveries FOR UPDATE")
        receiver.otherwise = Answer(200)
        await story.insert(600, first=2)  # more than may wait to be recorded
        await story.ended(DELIVERED=600, PENDING=1)
    await story.ended(DELIVERED=601)
    assert set(numbers(receiver.requests).values()) == {1}
