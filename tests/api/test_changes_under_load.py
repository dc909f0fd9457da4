"""What people change while hundreds of events a second are sent: from when on it is so."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import orjson
import pytest

from tests.api.conftest import OTHER, SCHEMES, Api, ApiResponse, Client
from tests.api.load import Attempt, attempts, each_once, load
from tests.end_to_end.inside import a_share_each
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Answer, Receiver
from tests.waiting import until

pytestmark = pytest.mark.long

AT_ONCE = 1.0
"""Seconds after its answer from which on a change is so everywhere.

Each wait below is a time in which events go on: what is sent in it is the subject.
"""
OVERLAP = 2


@pytest.fixture(params=[1, 2], ids=["one daemon", "two daemons"])
async def admin(request: pytest.FixtureRequest, api: Api, daemons: Daemons) -> Client:
    """Asks one of so many daemons, which share the work."""
    if request.param == 2:
        other = await daemons.start(signing={"schemes": SCHEMES})
        await a_share_each(api.daemon, other)
    return await api.client()


@pytest.fixture
async def another() -> AsyncIterator[Receiver]:
    """A second receiver."""
    async with Receiver() as opened:
        yield opened


@pytest.fixture
async def slow(receiver: Receiver) -> Receiver:
    """Behind which deliveries queue up: 16 at one time take 160 ms each, which is 100 a second."""
    receiver.otherwise = Answer(200, delay=0.16)
    return receiver


async def _create(admin: Client, receiver: Receiver, **fields: object) -> tuple[str, str]:
    """Its path and its secret."""
    made = await admin("POST", "/api/webhooks", {"url": receiver.url, "events": ["*"], **fields})
    return f"/api/webhooks/{made.data['id']}", made.data["secret"]


async def _answered(asked: Awaitable[ApiResponse], status: int = 200) -> tuple[float, Any]:
    """When the answer was there, and what stood in it."""
    answer = await asked
    at = time.time()
    assert answer.status == status, answer.body
    return at, answer.data if answer.body else None


# ── secrets ─────────────────────────────────────────────────────────────────────────────────────


async def test_from_the_answer_to_a_rotation_on_the_new_secret_signs_alone(
    admin: Client, story: Story, receiver: Receiver
) -> None:
    path, secret = await _create(admin, receiver)
    secrets, turns = {"0": secret}, [(time.time(), time.time())]
    async with load(story.dsn) as running:
        for n in range(1, 5):
            await _sent_on(receiver)
            asked = time.time()
            at, data = await _answered(admin("PATCH", f"{path}/rotate_secret"))
            secrets[str(n)] = data["secret"]
            turns.append((asked, at))
        await _sent_on(receiver)
    await story.ended(DELIVERED=running.emitted)
    arrived = await attempts(story, receiver.requests, secrets)
    assert each_once(arrived, running.emitted)
    for one in arrived:
        assert {one.signed[scheme] for scheme in SCHEMES} == {(min(one.single),)}
        assert min(one.single) in _who_may_sign(one.started_at, turns)
    ends = [*(asked for asked, _ in turns[2:]), time.time()]
    for (_, at), end in zip(turns[1:], ends, strict=True):
        assert any(at <= one.started_at < end for one in arrived), "nothing was sent in between"


def _who_may_sign(at: float, turns: list[tuple[float, float]]) -> set[str]:
    """The last secret whose answer was there, and those that were asked for and not yet answered."""
    current = max(n for n, (_, answered) in enumerate(turns) if n == 0 or answered <= at)
    asked = (n for n, (asked, answered) in enumerate(turns) if asked <= at < answered)
    return {str(current), *map(str, asked)}


async def _sent_on(receiver: Receiver) -> None:
    """Returns once more has arrived than can have been under way: twice 32, the most of a daemon."""
    await receiver.wait_for(len(receiver.requests) + 65)


async def test_for_the_time_of_an_overlap_the_old_secret_verifies_too_and_not_after_it(
    admin: Client, story: Story, receiver: Receiver
) -> None:
    path, old = await _create(admin, receiver)
    async with load(story.dsn) as running:
        await _sent_on(receiver)
        asked = time.time()
        body = {"overlapSeconds": OVERLAP}
        answered, data = await _answered(admin("POST", f"{path}/rotate-secret", body))
        await asyncio.sleep(OVERLAP)
        await _sent_on(receiver)
    await story.ended(DELIVERED=running.emitted)
    arrived = await attempts(story, receiver.requests, {"old": old, "new": data["secret"]})
    assert each_once(arrived, running.emitted)
    for one in arrived:
        assert len(one.single) == 1, "the headers with room for one agree"
        assert len(one.listed) == 1, "and so do those that hold a list"
    before = [one for one in arrived if one.started_at < asked]
    within = [one for one in arrived if answered <= one.started_at < asked + OVERLAP]
    after = [one for one in arrived if one.started_at >= answered + OVERLAP]
    assert (_singles(before), _lists(before)) == ({"old"}, {("old",)})
    assert (_singles(within), _lists(within)) == ({"new"}, {("new", "old")})
    assert (_singles(after), _lists(after)) == ({"new"}, {("new",)})


def _singles(arrived: list[Attempt]) -> set[str]:
    return set().union(*(one.single for one in arrived))


def _lists(arrived: list[Attempt]) -> set[tuple[str, ...]]:
    return set().union(*(one.listed for one in arrived))


# ── webhooks ────────────────────────────────────────────────────────────────────────────────────


async def test_a_disabled_webhook_is_sent_nothing_a_second_later_and_all_that_was_held_once_enabled(
    admin: Client, story: Story, slow: Receiver
) -> None:
    path, _ = await _create(admin, slow, maxInFlight=16)
    async with load(story.dsn, rate=300):
        await slow.wait_for(100)
        at, _ = await _answered(admin("PATCH", path, {"active": False}))
        await asyncio.sleep(AT_ONCE + 0.6)
    assert await _latest(story) <= at + AT_ONCE
    before = await story.states()
    assert before["PENDING"] > 100
    assert before["DELIVERED"] == len(slow.requests)
    slow.otherwise = 200
    await admin("PATCH", path, {"active": True})
    await story.ended(DELIVERED=before.total())
    assert _each_once(slow) == before.total()


async def test_a_deleted_webhook_gets_nothing_a_second_later_and_its_deliveries_are_cancelled(
    admin: Client, story: Story, slow: Receiver
) -> None:
    path, _ = await _create(admin, slow, maxInFlight=16)
    async with load(story.dsn, rate=300):
        await slow.wait_for(100)
        at, _ = await _answered(admin("DELETE", path), 204)
        await asyncio.sleep(AT_ONCE + 0.6)
    await until(lambda: _none_is_pending(story), "what was pending is cancelled")
    assert await _latest(story) <= at + AT_ONCE
    ended = await story.states()
    assert ended == {"DELIVERED": _each_once(slow), "CANCELLED": ended["CANCELLED"]}
    assert ended["CANCELLED"] > 100
    rows = [row for row in await story.attempts() if row["outcome"] == "cancelled"]
    assert [row["state"] for row in rows] == ["CANCELLED"] * ended["CANCELLED"]


async def test_a_webhook_with_a_new_url_gets_nothing_at_the_old_one_a_second_later(
    admin: Client, story: Story, receiver: Receiver, another: Receiver
) -> None:
    path, secret = await _create(admin, receiver)
    async with load(story.dsn) as running:
        await receiver.wait_for(100)
        at, _ = await _answered(admin("PUT", path, {"url": another.url}))
        await asyncio.sleep(AT_ONCE + 0.4)
    await story.ended(DELIVERED=running.emitted)
    there = await attempts(story, receiver.requests, {"": secret})
    here = await attempts(story, another.requests, {"": secret})
    assert there[-1].started_at <= at + AT_ONCE
    assert len(here) > 100
    assert each_once(there + here, running.emitted)


# ── environments ────────────────────────────────────────────────────────────────────────────────


async def test_a_paused_environment_is_sent_nothing_a_second_later_and_everything_once_resumed(
    admin: Client,
    story: Story,
    slow: Receiver,
    another: Receiver,
    other_environment: str,
) -> None:
    await _create(admin, slow, maxInFlight=16)
    elsewhere = {"url": another.url, "events": ["*"]}
    await admin("POST", "/api/webhooks", elsewhere, X_Environment_Id=OTHER)
    async with (
        load(story.dsn, rate=300) as running,
        load(story.dsn, rate=100, environment_id=other_environment) as beside,
    ):
        await slow.wait_for(100)
        at, _ = await _answered(admin("POST", "/api/pause"))
        await asyncio.sleep(AT_ONCE + 0.4)
        sent, others = len(slow.requests), len(another.requests)
        await asyncio.sleep(0.2)
    assert await _latest(story) <= at + AT_ONCE
    assert len(slow.requests) == sent < running.emitted - 100
    assert len(another.requests) > others
    slow.otherwise = 200
    await admin("POST", "/api/resume")
    await story.ended(DELIVERED=running.emitted + beside.emitted)
    assert _each_once(slow) == running.emitted
    assert _each_once(another) == beside.emitted


async def _latest(story: Story) -> float:
    """When the last attempt in the default environment began."""
    latest: float = await story.connection.fetchval(
        "SELECT extract(epoch FROM max(started_at))::float8 FROM dispatcher.attempts"
        " WHERE environment_id = 'env_default' AND outcome <> 'cancelled'"
    )
    return latest


async def _none_is_pending(story: Story) -> bool:
    return await story.count("true") == 0


def _each_once(receiver: Receiver) -> int:
    """Return the number of events that came. Fail if one came twice."""
    arrived = Counter(orjson.loads(request.body)["data"]["n"] for request in receiver.requests)
    assert set(arrived.values()) == {1}
    return len(arrived)
