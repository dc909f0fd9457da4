"""A rate limit holds for its endpoint, and delays no other."""

import time

import pytest

from dispatcher.engine.buffer.endpoint_queue import CATCH_UP_SECONDS
from tests.end_to_end.inside import a_share_each
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver, Request
from tests.waiting import until

EVENTS = 30
EARLY = CATCH_UP_SECONDS + 0.01
"""Seconds that a late timer may be made up for; and two clocks are compared here."""


def hold_to(rate: int, requests: list[Request], began: float, *, daemons: int = 1) -> None:
    """Refuse more requests since `began` than the rate allows, each daemon with its share.

    A machine that is slow makes them later, and never earlier.
    """
    for number, request in enumerate(requests):
        assert request.at >= began + (number + 1 - daemons) / rate - EARLY, number


async def test_a_rate_limit_slows_only_its_endpoint(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver
) -> None:
    await story.subscribe(receiver.url, rate_limit=10)
    await story.subscribe(another.url)
    await daemons.start(delivery={"concurrency": 4})  # those that wait hold no place
    began = time.time()
    await story.insert(EVENTS)
    await story.ended(DELIVERED=2 * EVENTS)
    hold_to(10, receiver.requests, began)
    assert another.requests[-1].at < receiver.requests[-1].at


@pytest.mark.long
async def test_two_daemons_keep_to_the_limit_together(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, rate_limit=20)
    daemon, other = await daemons.start(), await daemons.start()
    await a_share_each(daemon, other)
    began = time.time()
    for n in range(40):
        await story.insert(first=n)
    await story.ended(DELIVERED=40)
    hold_to(20, receiver.requests, began, daemons=2)


async def test_a_new_rate_limit_applies_after_a_second(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    webhook = await story.subscribe(receiver.url)
    await daemons.start()
    await story.insert(20)
    await story.ended(DELIVERED=20)
    await story.change(webhook.id, rate_limit=10)
    await until(lambda: _known(story), "every daemon knows")
    began = time.time()
    await story.insert(10, first=21)
    await story.ended(DELIVERED=30)
    hold_to(10, receiver.requests[20:], began)


async def _known(story: Story) -> bool:
    known: bool = await story.connection.fetchval(
        "SELECT min(confirmed_version) = (SELECT version FROM dispatcher.endpoint_version)"
        " FROM dispatcher.daemons"
    )
    return known
