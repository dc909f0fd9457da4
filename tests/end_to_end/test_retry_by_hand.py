"""A person sends one delivery again, or cancels it, while daemons hold it in memory."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError
from dispatcher.engine import engine as engine_module
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries.delivery_actions import DeliveryActions
from dispatcher.services.propagation import wait_until_acknowledged
from dispatcher.store.pool import Pool
from dispatcher.store.session import Session
from tests.end_to_end.inside import a_share_each, holds
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import HANG, Answer, Receiver, Request
from tests.waiting import until

ENVIRONMENT = "env_default"
AT_ONCE = 60.0
"""Seconds within which a person's wish is acted on, on any machine: without it, an hour passes."""
LATER = {"base": "1h", "retries": 3}


class Person:
    """A person who retries and cancels deliveries, at another daemon or at none."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def retry(self, delivery_id: int) -> None:
        async with self._pool.transaction() as session:
            name = ids.delivery_name(delivery_id)
            assert (
                await DeliveryActions(session, Actor("test")).retry(ENVIRONMENT, name)
                == delivery_id
            )

    async def cancel(self, delivery_id: int) -> None:
        async with self._pool.transaction() as session:
            name = ids.delivery_name(delivery_id)
            assert (
                await DeliveryActions(session, Actor("test")).cancel(ENVIRONMENT, name)
                == delivery_id
            )

    async def wait_until_acknowledged(self, delivery_id: int, within: float = AT_ONCE) -> bool:
        return await wait_until_acknowledged(self._pool, delivery_id, within)


@pytest.fixture
async def person(dsn: str) -> AsyncIterator[Person]:
    sessions = [Session(dsn, f"people-{n}") for n in range(2)]
    yield Person(Pool(sessions))
    for session in sessions:
        await session.close()


def sent(requests: list[Request]) -> list[str]:
    """The numbers of the attempts."""
    return [request.headers["X-Dispatcher-Attempt"] for request in requests]


async def deliveries(story: Story) -> list[int]:
    """Those pending, oldest first."""
    rows = await story.connection.fetch("SELECT id FROM dispatcher.deliveries ORDER BY id")
    return [row["id"] for row in rows]


async def waiting(story: Story, count: int = 1) -> list[int]:
    """The deliveries, once a first attempt at each has failed."""
    await until(lambda: _waiting(story, count), "the first attempts have failed")
    return await deliveries(story)


async def _waiting(story: Story, count: int) -> bool:
    return await story.count("attempt = 1") == count


# ── retry ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("base", "held"), [("1h", False), ("40s", True)])
async def test_a_retry_that_is_far_off_is_made_now_and_the_schedule_goes_on(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person, base: str, held: bool
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start(retry={"base": base, "retries": 3})
    receiver.answers = [500, 500, 200]
    await story.insert()
    (one,) = await waiting(story)
    await until(lambda: holds(daemon, one) is held, "it is settled")
    await person.retry(one)
    assert await person.wait_until_acknowledged(one)
    await receiver.wait_for(2, within=AT_ONCE)
    await until(lambda: _attempts(story, one, 2), "it is recorded")
    row = await story.connection.fetchrow(
        "SELECT attempt, base, next_at > now() + interval '30 s' AS later FROM dispatcher.deliveries"
    )
    assert row is not None
    assert tuple(row) == (2, 0, True)
    await person.retry(one)
    await story.ended(DELIVERED=1)
    assert sent(receiver.requests) == ["1", "2", "3"]


async def _attempts(story: Story, delivery_id: int, count: int) -> bool:
    return await story.count(f"id = {delivery_id} AND attempt = {count}") == 1


async def test_a_failed_delivery_is_retried_with_its_id_and_attempt_number(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"retries": 1, "base": "20ms"})
    receiver.answers = [500, 500, 500]
    await story.insert()
    await story.ended(FAILED=1)
    (one,) = {row["delivery_id"] for row in await story.attempts()}
    both = await asyncio.gather(person.retry(one), person.retry(one), return_exceptions=True)
    # The second is refused if the first has moved the row between its two looks.
    assert None in both
    assert all(error is None or isinstance(error, ConflictError) for error in both)
    await receiver.wait_for(3, within=AT_ONCE)
    await story.ended(DELIVERED=1)
    assert sent(receiver.requests) == ["1", "2", "3", "4"]
    assert len({(r.headers["X-Dispatcher-Delivery"], r.body) for r in receiver.requests}) == 1
    assert [r["state"] for r in await story.attempts()] == [None, "FAILED", None, "DELIVERED"]


async def test_a_delivered_delivery_is_sent_again(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start()
    await story.insert()
    await story.ended(DELIVERED=1)
    (one,) = {row["delivery_id"] for row in await story.attempts()}
    for attempts in range(2, 12):
        await person.retry(one)
        await receiver.wait_for(attempts, within=AT_ONCE)
        await story.ended(DELIVERED=1)
        await until(lambda n=attempts: _written(story, n), "it is recorded")  # type: ignore[misc]
    assert sent(receiver.requests) == [str(n) for n in range(1, 12)]


async def _written(story: Story, count: int) -> bool:
    return len(await story.attempts()) == count


async def test_a_delivery_in_flight_is_not_sent_twice_by_a_retry(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(delivery={"timeout": "30s"})
    retried = asyncio.Event()
    receiver.answers = [Answer(200, after=retried)]
    await story.insert()
    await receiver.wait_for(1)
    (one,) = await deliveries(story)
    for _ in range(3):
        await person.retry(one)
    retried.set()
    await story.ended(DELIVERED=1)
    assert await person.wait_until_acknowledged(one)
    assert sent(receiver.requests) == ["1"]


async def test_a_retried_parked_delivery_is_sent_before_the_others(
    story: Story,
    daemons: Daemons,
    receiver: Receiver,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "QUEUE_SHARE", 0.0)
    await story.subscribe(receiver.url, rate_limit=20)
    await daemons.start()
    await story.insert(1_200)
    await receiver.wait_for(1)
    await until(lambda: _parked(story, 100), "some are parked")
    last = await story.connection.fetchval(
        "SELECT id FROM dispatcher.deliveries WHERE parked ORDER BY id DESC LIMIT 1"
    )
    await person.retry(last)
    assert await person.wait_until_acknowledged(last)
    name = ids.delivery_name(last)
    await until(
        lambda: name in [r.headers["X-Dispatcher-Delivery"] for r in receiver.requests],
        "it is sent",
        within=AT_ONCE,
    )


async def test_the_pause_of_a_retry_after_is_kept(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"base": "10ms"})
    receiver.answers = [Answer(429, {"Retry-After": "2"})]
    await story.insert()
    (one,) = await waiting(story)
    await person.retry(one)
    first, second = await receiver.wait_for(2)
    assert second.at - first.at >= 2 - 0.01


# ── cancel ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_delivery_cancelled_before_its_retry_is_never_sent(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start(retry={"base": "1500ms", "factor": 1})
    receiver.answers = [500, 500]
    await story.insert(2)
    one, other = await waiting(story, 2)
    await until(lambda: holds(daemon, one), "it is in memory")
    await person.cancel(one)
    assert await person.wait_until_acknowledged(one)
    assert not holds(daemon, one)
    await story.ended(CANCELLED=1, DELIVERED=1)
    assert [r.headers["X-Dispatcher-Delivery"] for r in receiver.requests[2:]] == [
        ids.delivery_name(other)
    ]


@pytest.mark.parametrize("parked", [False, True])
async def test_a_delivery_cancelled_while_queued_or_parked_is_never_sent(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person, parked: bool
) -> None:
    webhook = await story.subscribe(receiver.url, max_in_flight=1)
    daemon = await daemons.start(delivery={"timeout": "30s"})
    cancelled = asyncio.Event()
    receiver.answers = [Answer(200, after=cancelled)]
    await story.insert(10)
    await receiver.wait_for(1)
    if parked:
        await story.change(webhook.id, active=False)
        await until(lambda: _parked(story, 9), "they are held")
    *others, last = await deliveries(story)
    assert holds(daemon, last) is not parked
    await person.cancel(last)
    assert await person.wait_until_acknowledged(last)
    cancelled.set()
    if parked:
        await story.change(webhook.id, active=True)
    await story.ended(CANCELLED=1, DELIVERED=9)
    arrived = {r.headers["X-Dispatcher-Delivery"] for r in receiver.requests}
    assert ids.delivery_name(last) not in arrived
    assert len(others) == 9


async def test_a_delivery_cancelled_in_flight_has_its_attempt_recorded(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    await daemons.start(retry={"base": "10ms"}, delivery={"timeout": "30s"})
    cancelled = asyncio.Event()
    receiver.answers = [Answer(500, after=cancelled)]
    await story.insert()
    await receiver.wait_for(1)
    (one,) = await deliveries(story)
    await person.cancel(one)
    with pytest.raises(ConflictError, match="in progress"):
        await person.retry(one)
    cancelled.set()
    await until(lambda: _written(story, 2), "the attempt is on record")
    assert [(r["attempt"], r["state"]) for r in await story.attempts()] == [
        (0, "CANCELLED"),
        (1, None),
    ]
    assert await person.wait_until_acknowledged(one)
    await person.retry(one)
    await story.ended(DELIVERED=1)
    assert sent(receiver.requests) == ["1", "2"]


async def failed_first(story: Story, daemons: Daemons, receiver: Receiver) -> int:
    """Return the first of four deliveries of an ordered endpoint: it failed, and blocks the others."""
    await story.subscribe(receiver.url, ordered=True)
    await daemons.start(retry=LATER)
    receiver.answers = [500]
    await story.insert(4)
    await until(lambda: _waiting(story, 1), "the first has failed, and blocks the others")
    first, *_ = await deliveries(story)
    return first


async def test_an_ordered_endpoint_continues_when_its_first_delivery_is_cancelled(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    first = await failed_first(story, daemons, receiver)
    await person.cancel(first)
    await story.ended(CANCELLED=1, DELIVERED=3)
    assert list(numbers(receiver.requests)) == [1, 2, 3, 4]


async def test_an_ordered_endpoint_continues_when_its_first_delivery_is_retried(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    first = await failed_first(story, daemons, receiver)
    await person.retry(first)
    await receiver.wait_for(5, within=AT_ONCE)
    await story.ended(DELIVERED=4)
    assert list(numbers(receiver.requests)) == [1, 2, 3, 4]


# ── several daemons, or none ────────────────────────────────────────────────────────────────────


@pytest.mark.long
async def test_with_two_daemons_each_change_reaches_the_owner_of_its_delivery(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    one, other = await daemons.start(retry=LATER), await daemons.start(retry=LATER)
    await a_share_each(one, other)
    receiver.answers = [500] * 20
    for n in range(1, 21):
        await story.insert(first=n)
    delivery_ids = await waiting(story, 20)
    for number, delivery in enumerate(delivery_ids):
        await (person.retry if number % 2 else person.cancel)(delivery)
    for delivery in delivery_ids:
        assert await person.wait_until_acknowledged(delivery)
    await story.ended(DELIVERED=10, CANCELLED=10)
    assert sorted(sent(receiver.requests)) == ["1"] * 20 + ["2"] * 10


async def test_a_retry_requested_before_its_daemon_died_is_made_by_the_next(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start(retry=LATER)
    receiver.answers = [500] * 2
    await story.insert(2)
    kept, dropped = await waiting(story, 2)
    await daemons.stop(daemon)
    await person.retry(kept)
    await person.cancel(dropped)
    await daemons.start(retry=LATER)
    await story.ended(DELIVERED=1, CANCELLED=1)
    await until(lambda: _no_nudges(story), "the nudges are gone")
    assert sorted(sent(receiver.requests)) == ["1", "1", "2"]


@pytest.mark.long
async def test_retries_and_cancellations_under_load_make_no_attempt_twice(
    story: Story, daemons: Daemons, receiver: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url)
    for _ in range(2):
        await daemons.start(retry={"base": "300ms", "factor": 1, "retries": 50})
    receiver.otherwise = Answer(500, delay=0.02)
    await story.insert(20)
    delivery_ids = await _made(story, 20)
    until_then = time.monotonic() + 2.5
    while time.monotonic() < until_then and _most_attempts(receiver) < 30:
        for delivery in delivery_ids:
            await person.retry(delivery)
    cancelled = delivery_ids[:10]
    for delivery in cancelled:
        await person.cancel(delivery)
    receiver.otherwise = 200
    await story.ended(CANCELLED=10, DELIVERED=10)
    made = [
        (r.headers["X-Dispatcher-Delivery"], r.headers["X-Dispatcher-Attempt"])
        for r in receiver.requests
    ]
    assert len(made) == len(set(made))
    await until(lambda: _no_nudges(story), "the nudges are gone")
    rows: dict[UUID, list[int]] = {}
    for row in await story.attempts():
        if row["outcome"] != "cancelled":
            rows.setdefault(row["delivery_id"], []).append(row["attempt"])
    assert all(sorted(attempts) == list(range(1, len(attempts) + 1)) for attempts in rows.values())


def _most_attempts(receiver: Receiver) -> int:
    """Attempts of the delivery that had most of them."""
    attempts = Counter(r.headers["X-Dispatcher-Delivery"] for r in receiver.requests)
    return max(attempts.values(), default=0)


async def _made(story: Story, count: int) -> list[int]:
    await until(lambda: _pending(story, count), "they are fanned out")
    return await deliveries(story)


async def _pending(story: Story, count: int) -> bool:
    return await story.count("true") == count


async def _parked(story: Story, least: int) -> bool:
    return await story.count("parked") >= least


async def _no_nudges(story: Story) -> bool:
    return not await story.connection.fetchval("SELECT count(*) FROM dispatcher.change_notices")


@pytest.mark.long
async def test_a_hanging_delivery_does_not_delay_retries_of_others(
    story: Story, daemons: Daemons, receiver: Receiver, another: Receiver, person: Person
) -> None:
    await story.subscribe(receiver.url, "role.*")
    await story.subscribe(another.url, "user.*")
    await daemons.start(retry=LATER, delivery={"timeout": "3s"})
    receiver.otherwise = HANG
    another.answers = [500]
    await story.insert(type_="role.created")
    await receiver.wait_for(1)
    (hanging,) = await deliveries(story)
    await person.cancel(hanging)
    assert not await person.wait_until_acknowledged(hanging, 1.0)
    await story.insert()
    (one,) = await waiting(story)
    await person.retry(one)
    await another.wait_for(2, within=AT_ONCE)
    await story.ended(CANCELLED=1, DELIVERED=1)
    await until(lambda: _no_nudges(story), "both are done with")
    assert len(receiver.requests) == 1
