"""A rate limit holds for its endpoint, and delays no other."""

from tests.end_to_end.stories import Daemons, Story, until
from tests.receivers import Receiver, Request

EVENTS = 30
EARLY = 0.15
"""Seconds that a timer may be made up for, or a request be on its way for less than another."""


def span(requests: list[Request]) -> float:
    return requests[-1].at - requests[0].at


async def test_a_rate_limit_slows_only_its_endpoint(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    await story.subscribe(receiver.url, rate_limit=10)
    await story.subscribe(another.url)
    await daemons.start(delivery={"concurrency": 4})  # those that wait hold no place
    await story.insert(EVENTS)
    await story.ended(DELIVERED=2 * EVENTS)
    limited, free = receiver.requests, another.requests
    assert 2.9 - EARLY <= span(limited) <= 3.5
    for first, tenth in zip(limited, limited[10:], strict=False):
        assert tenth.at - first.at >= 1.0 - EARLY
    assert free[-1].at < limited[9].at


async def test_two_daemons_keep_to_the_limit_together(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, rate_limit=20)
    daemon, other = await daemons.start(), await daemons.start()
    await until(
        lambda: len(daemon._engine.lease.owned) == len(other._engine.lease.owned) == 32,
        "a share each",
    )
    for n in range(40):
        await story.insert(first=n)
    await story.ended(DELIVERED=40)
    for first, last in zip(receiver.requests, receiver.requests[22:], strict=False):
        assert last.at - first.at >= 1.0 - EARLY


async def test_a_new_rate_limit_applies_after_a_second(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    await daemons.start()
    await story.insert(20)
    await story.ended(DELIVERED=20)
    await story.change(webhook.id, rate_limit=10)
    await until(lambda: _known(story), "every daemon knows")
    await story.insert(10, first=21)
    await story.ended(DELIVERED=30)
    assert span(receiver.requests[20:]) >= 0.9 - EARLY


async def _known(story: Story) -> bool:
    known: bool = await story.connection.fetchval(
        "SELECT min(confirmed_version) = (SELECT version FROM dispatcher.endpoint_version)"
        " FROM dispatcher.daemons"
    )
    return known
