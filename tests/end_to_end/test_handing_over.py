"""A daemon that joins gets its share at once, but for what is under way at that moment."""

import pytest

from dispatcher.daemon.daemon import Daemon
from tests.end_to_end.inside import in_memory, owned
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import HANG, Receiver
from tests.waiting import until


@pytest.mark.long
async def test_requests_that_hang_keep_back_their_own_shards_only(
    story: Story, daemons: Daemons, another: Receiver
) -> None:
    await story.subscribe(another.url, "user.*")
    async with Receiver(otherwise=HANG) as hanging:
        await story.subscribe(hanging.url, "role.*", max_in_flight=45)
        one = await daemons.start(delivery={"timeout": "30s"}, retry={"retries": 0})
        for n in range(1, 46):
            await story.insert(type_="role.created")
            await _holds(one, n)
        await hanging.wait_for(45)
        leaving = set(sorted(owned(one))[32:])
        busy = leaving & set(one._engine.buffer.count_by_shard())
        assert busy
        other = await daemons.start()
        await until(lambda: owned(other) == leaving - busy, "what is idle")
        await story.insert(100)
        await another.wait_for(100)
        assert numbers(another.requests) == dict.fromkeys(range(1, 101), 1)
    await until(lambda: owned(other) == leaving, "all of its share")


async def _holds(daemon: Daemon, count: int) -> None:
    """Returns once so many deliveries are in its memory, a shard each."""
    await until(lambda: in_memory(daemon) == count, f"{count} are fanned out")
