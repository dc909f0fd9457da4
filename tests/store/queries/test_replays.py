"""Replays: what one endpoint can be sent again, step by step, each in one statement."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dispatcher.core.model import Delivery
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.queries.replays import Counted, Replays, Step
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

ENVIRONMENT = "env_default"
LONG_AGO = datetime(2024, 1, 2, tzinfo=UTC)


async def ended(
    session: Session, connection: Connection, endpoint: UUID, *, failed: bool = True
) -> Delivery:
    """A delivery that was made and ended."""
    made = await rows.delivery(connection, endpoint, attempt=2)
    outcome = rows.FAILED if failed else rows.DELIVERED
    await Deliveries(session).record([rows.result(made, outcome)])
    return made


async def past_event(connection: Connection, type: str = "user.created", **of: Any) -> int:
    """An event that was fanned out to no endpoint."""
    event = await rows.event(connection, type, **of)
    await connection.execute("DELETE FROM dispatcher.inbox WHERE id = $1", event)
    return event


async def start(
    session: Session, endpoint: UUID, *, missed: bool = True, rate: int | None = None, **of: Any
) -> int:
    """A replay of all there was up to now; its id."""
    until = datetime.now(UTC) + timedelta(milliseconds=1)
    chosen = {"since": LONG_AGO, "until": until, "total": None, **of}
    row = await Replays(session).start(ENVIRONMENT, endpoint, missed=missed, rate=rate, **chosen)
    assert row is not None
    number: int = row["id"]
    return number


async def step(
    session: Session,
    *,
    look: int = 100,
    make: int = 100,
    waiting: int = 100,
    pending: int = 100,
) -> Step | None:
    """A step of the replay that is due, as Replayer runs it; None if none is due."""
    async with session.transaction() as transaction:
        replays = Replays(transaction)
        claimed = await replays.claim(waiting=waiting, pending=pending)
        if claimed is None:
            return None
        await DeliveryActions(transaction).lock_all()
        return await replays.step(claimed, look=look, make=make, waiting=waiting, pending=pending)


async def run_one_step(session: Session, endpoint: UUID) -> tuple[str, int]:
    """Start a replay. Return its state after one step, and how many deliveries it made."""
    await start(session, endpoint)
    made = await step(session)
    assert made is not None
    return made.state, made.made


async def at_once(connection: Connection) -> None:
    """Make due now what waits for its time."""
    await connection.execute("UPDATE dispatcher.replays SET next_at = now() - interval '1 ms'")


async def row_of(connection: Connection, replay: int) -> rows.Row:
    (row,) = await connection.fetch("SELECT * FROM dispatcher.replays WHERE id = $1", replay)
    replay_row: rows.Row = row
    return replay_row


async def on_the_way(connection: Connection) -> list[tuple[int, bool, int]]:
    """Directed inbox rows in order: the event, whether it names its delivery, attempts."""
    records = await connection.fetch(
        "SELECT * FROM dispatcher.inbox WHERE endpoint_id IS NOT NULL ORDER BY id"
    )
    return [(r["event_id"], r["delivery_id"] is not None, r["attempt"]) for r in records]


async def count(session: Session, endpoint: UUID, **of: Any) -> Counted:
    chosen: dict[str, Any] = {
        "since": LONG_AGO,
        "until": None,
        "position": None,
        "missed": True,
        "look": 100,
        **of,
    }
    counted = await Replays(session).count(ENVIRONMENT, endpoint, **chosen)
    assert counted is not None
    return counted


# ── what is found ───────────────────────────────────────────────────────────────────────────────


async def test_a_failed_delivery_is_replayed_with_its_id_and_attempt_number(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    failed = await ended(session, connection, endpoint)
    await ended(session, connection, endpoint, failed=False)
    replay = await start(session, endpoint)
    assert await step(session) == Step(replay, "DONE", 1)
    fanned = await Inbox(session).fan_out(limit=9, shard=5, daemon=owner, saturated=[], after_id=0)
    (again,) = fanned.deliveries
    assert (again.id, again.event_id, again.attempt, again.base) == (
        failed.id,
        failed.event_id,
        3,
        3,
    )


async def test_an_attempt_recorded_late_counts_for_the_number_of_the_next(
    connection: Connection, session: Session
) -> None:
    failed = await ended(session, connection, await rows.endpoint(connection, "*"))
    late = rows.result(replace(failed, attempt=5), rows.FAILED)
    assert await Deliveries(session).record_late([late]) == {failed.id}
    assert await run_one_step(session, failed.endpoint_id) == ("DONE", 1)
    assert await on_the_way(connection) == [(failed.event_id, True, 6)]


async def test_a_delivery_with_thirty_thousand_attempts_is_not_replayed(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await ended(session, connection, endpoint)
    await connection.execute("UPDATE dispatcher.attempts SET attempt = 30000")
    assert await run_one_step(session, endpoint) == ("DONE", 0)


async def test_a_quarantined_delivery_of_the_endpoint_is_not_missed(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    one = await rows.delivery(connection, endpoint)
    await Deliveries(session).quarantine(one, "refused")
    assert await run_one_step(session, endpoint) == ("DONE", 0)


async def test_a_failed_delivery_in_quarantine_is_not_replayed(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    one = await ended(session, connection, endpoint)
    await rows.resent_and_quarantined(connection, Deliveries(session), one)
    assert await run_one_step(session, endpoint) == ("DONE", 0)


async def test_failed_and_missed_events_are_replayed_oldest_first(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    expected = [
        await past_event(connection),
        (await ended(session, connection, endpoint)).event_id,
        await past_event(connection),
        (await ended(session, connection, endpoint)).event_id,
    ]
    await start(session, endpoint)
    assert await step(session)
    assert [event for event, *_ in await on_the_way(connection)] == expected


@pytest.mark.parametrize(
    ("error", "expected"), [("expired: the event is about to be dropped", 1), ("by a person", 0)]
)
async def test_of_cancelled_deliveries_only_expired_ones_are_replayed(
    connection: Connection, session: Session, error: str, expected: int
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await ended(session, connection, endpoint)
    await connection.execute(
        "UPDATE dispatcher.attempts SET state = 'CANCELLED', error = $1", error
    )
    assert (await count(session, endpoint)).failed == expected


async def test_a_delivery_that_is_pending_again_or_delivered_is_not_replayed(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    pending, on_its_way, delivered = [await ended(session, connection, endpoint) for _ in range(3)]
    for one in (pending, delivered, on_its_way):
        await rows.directed(
            connection, one.event_id, endpoint, delivery_id=one.id, attempt=one.attempt + 1
        )
        if one is not on_its_way:
            fanned = await Inbox(session).fan_out(
                limit=9, shard=5, daemon=owner, saturated=[], after_id=0
            )
            if one is delivered:
                await Deliveries(session).record([rows.result(fanned.deliveries[0])])
    counted = await count(session, endpoint)
    assert (counted.failed, counted.missed, counted.complete) == (0, 0, True)


async def test_a_failed_delivery_without_its_event_is_left_out(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await ended(session, connection, endpoint)
    assert (await count(session, endpoint)).failed == 1
    await connection.execute("DELETE FROM dispatcher.events")
    assert (await count(session, endpoint)).failed == 0


async def test_matching_events_without_a_delivery_count_as_missed(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "user.*")
    other = await rows.endpoint(connection, "*")
    elsewhere = await rows.environment(connection, "elsewhere")
    missed = await past_event(connection, "user.created")
    await past_event(connection, "order.created")
    await past_event(connection, "user.created", environment=elsewhere)
    await ended(session, connection, endpoint, failed=False)
    await rows.delivery(connection, endpoint)
    others = await rows.delivery(connection, other)
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data, source) VALUES ('user.created', '{}', 'directed')"
    )
    replay = await start(session, endpoint)
    assert await step(session) == Step(replay, "DONE", 2)
    assert await on_the_way(connection) == [(missed, True, 0), (others.event_id, True, 0)]


async def test_without_missed_only_failed_deliveries_are_counted(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await past_event(connection)
    failed = await ended(session, connection, endpoint)
    await start(session, endpoint, missed=False)
    assert await step(session)
    assert await on_the_way(connection) == [(failed.event_id, True, 3)]


async def test_refused_events_and_those_without_kept_attempts_are_not_missed(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    refused = await past_event(connection)
    await connection.execute(
        "INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)"
        " VALUES ($1, $1, 'env_default', 'user.created', 0, '', '')",
        refused,
    )
    await connection.execute(
        """INSERT INTO dispatcher.events (id, type, data, source)
           SELECT dispatcher.id_floor(date_trunc('day', now(), 'UTC')) + n, 'user.created', '{}', 'dispatcher'
           FROM unnest(ARRAY[-1, 0]) AS n"""
    )
    await connection.execute("DELETE FROM dispatcher.inbox")
    assert (await count(session, endpoint)).missed == 1


@pytest.mark.parametrize("waiting_in", ["inbox", "unvalidated_events"])
async def test_a_replay_waits_for_events_that_are_not_fanned_out(
    connection: Connection, session: Session, waiting_in: str
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    before = await past_event(connection)
    waits = await rows.event(connection)
    if waiting_in == "unvalidated_events":
        await connection.execute(
            """WITH moved AS (DELETE FROM dispatcher.inbox RETURNING id, environment_id, type)
               INSERT INTO dispatcher.unvalidated_events SELECT * FROM moved"""
        )
    after = await past_event(connection)
    replay = await start(session, endpoint)
    assert await step(session) == Step(replay, "RUNNING", 1)
    assert (await row_of(connection, replay))["position"] == waits - 1
    await at_once(connection)
    began = await connection.fetchval("SELECT clock_timestamp()")
    assert await step(session) == Step(replay, "RUNNING", 0)
    pause = (await row_of(connection, replay))["next_at"] - began
    assert pause >= timedelta(seconds=0.1), "it waits a moment before it looks again"
    await connection.execute(f"DELETE FROM dispatcher.{waiting_in} WHERE id = $1", waits)  # noqa: S608
    await at_once(connection)
    assert await step(session) == Step(replay, "DONE", 2)
    assert [event for event, *_ in await on_the_way(connection)] == [before, waits, after]


async def test_the_time_span_counts_for_deliveries_and_events(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    for _ in range(2):
        await past_event(connection)
        await ended(session, connection, endpoint)
    await connection.execute("SELECT pg_sleep(0.005)")
    middle = await connection.fetchval("SELECT clock_timestamp()")
    await connection.execute("SELECT pg_sleep(0.005)")
    await past_event(connection)
    all_of_it = await count(session, endpoint)
    assert (all_of_it.failed, all_of_it.missed) == (2, 3)
    later, earlier = (
        await count(session, endpoint, since=middle),
        await count(session, endpoint, until=middle),
    )
    assert [(c.failed, c.missed, c.complete) for c in (later, earlier)] == [
        (0, 1, True),
        (2, 2, True),
    ]
    assert earlier.until == middle


# ── steps ───────────────────────────────────────────────────────────────────────────────────────


async def test_bounded_steps_give_the_same_result_as_one_step(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "user.created")
    expected = []
    for n in range(12):
        await past_event(connection, "order.created")
        expected.append(await past_event(connection))
        failed = await ended(session, connection, endpoint, failed=n % 3 == 0)
        if n % 3 == 0:
            expected.append(failed.event_id)
    replay = await start(session, endpoint)
    made, last = [], 0
    while (done := await step(session, look=3, make=2)) is not None:
        made.append(done.made)
        position = (await row_of(connection, replay))["position"]
        assert position > last, "also where nothing was found"
        last = position
    assert max(made) == 2
    assert 0 in made
    assert [event for event, *_ in await on_the_way(connection)] == expected
    row = await row_of(connection, replay)
    assert (row["state"], row["made"], sum(made)) == ("DONE", 16, 16)
    assert row["finished_at"] >= row["created_at"]


async def test_the_preview_counted_in_parts_equals_what_is_replayed(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    for n in range(6):
        await past_event(connection)
        await ended(session, connection, endpoint, failed=n % 2 == 0)
    failed = missed = 0
    counted = await count(session, endpoint, look=2)
    until = counted.until
    while True:
        failed, missed = failed + counted.failed, missed + counted.missed
        if counted.complete:
            break
        counted = await count(session, endpoint, look=2, until=until, position=counted.position)
    assert (failed, missed) == (3, 6)


@pytest.mark.parametrize("full", ["waiting", "pending"])
async def test_a_step_makes_nothing_while_enough_deliveries_wait(
    connection: Connection, session: Session, full: str
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await past_event(connection)
    event = await past_event(connection, "other")
    await rows.delivery(connection, endpoint, event_id=event)
    await rows.directed(connection, event, endpoint)
    replay = await start(session, endpoint)
    began = await connection.fetchval("SELECT clock_timestamp()")
    assert await step(session, **{full: 1}) == Step(replay, "RUNNING", 0)
    pause = (await row_of(connection, replay))["next_at"] - began
    assert pause >= timedelta(seconds=0.1), "not before a moment has passed"
    await at_once(connection)
    assert await step(session, **{full: 2}) == Step(replay, "DONE", 1)


async def test_a_replay_waits_while_its_endpoint_is_disabled_and_ends_when_it_is_deleted(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*", active=False)
    await past_event(connection)
    replay = await start(session, endpoint)
    assert await step(session) == Step(replay, "RUNNING", 0)
    await connection.execute("UPDATE dispatcher.endpoints SET deleted_at = now()")
    await at_once(connection)
    assert await step(session) == Step(replay, "CANCELLED", 0)
    assert await on_the_way(connection) == []


async def test_an_event_missed_just_before_its_endpoint_is_disabled_is_replayed(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    event = await past_event(connection)
    await start(session, endpoint)
    await step(session)
    await connection.execute("UPDATE dispatcher.endpoints SET active = false")
    fanned = await Inbox(session).fan_out(limit=9, shard=5, daemon=owner, saturated=[], after_id=0)
    assert [(d.event_id, d.attempt) for d in fanned.deliveries] == [(event, 0)]


async def test_a_rate_is_kept_from_step_to_step(connection: Connection, session: Session) -> None:
    endpoint = await rows.endpoint(connection, "*")
    for _ in range(5):
        await past_event(connection)
    replay = await start(session, endpoint, rate=8)
    # An hour ahead, so that on no machine the step is late. A claim would wait for it: it is left out.
    began = await connection.fetchval(
        "UPDATE dispatcher.replays SET next_at = next_at + interval '1 h' RETURNING next_at"
    )
    async with session.transaction() as transaction:
        made = await Replays(transaction).step(
            {"id": replay, "environment_id": ENVIRONMENT, "has_room": True},
            look=9,
            make=9,
            waiting=9,
            pending=9,
        )
    assert made == Step(replay, "RUNNING", 2)
    assert (await row_of(connection, replay))["next_at"] - began == timedelta(seconds=2 / 8)
    assert await step(session) is None
    wait = await Replays(session).next()
    assert wait is not None
    assert 0 < wait <= 3_600.25


async def test_a_cancelled_replay_makes_nothing_more(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    for _ in range(3):
        await past_event(connection)
    replay = await start(session, endpoint)
    await step(session, make=1)
    row = await Replays(session).cancel(ENVIRONMENT, endpoint, replay)
    assert row is not None
    assert (row["state"], row["made"]) == ("CANCELLED", 1)
    assert await step(session) is None
    assert await Replays(session).next() is None
    assert await Replays(session).cancel(ENVIRONMENT, endpoint, replay) is None
    again = await start(session, endpoint)
    assert await step(session) == Step(again, "DONE", 2), "what is on its way is not missed"


async def test_only_one_replay_runs_for_an_endpoint(
    connection: Connection, session: Session
) -> None:
    endpoint, other = await rows.endpoint(connection), await rows.endpoint(connection)
    await start(session, endpoint)
    until = datetime.now(UTC)
    second = await Replays(session).start(
        ENVIRONMENT, endpoint, since=LONG_AGO, until=until, missed=True, rate=None, total=None
    )
    assert second is None
    assert await start(session, other)


async def test_replays_take_turns(connection: Connection, session: Session) -> None:
    endpoints = [await rows.endpoint(connection, "*") for _ in range(2)]
    for _ in range(3):
        await past_event(connection)
    started = [await start(session, endpoint) for endpoint in endpoints]
    turns = [await step(session, make=1) for _ in range(4)]
    assert [turn.id for turn in turns if turn] == started * 2


async def test_two_daemons_replay_no_delivery_twice(
    connection: Connection, session: Session, other: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    events = [await past_event(connection) for _ in range(60)]
    replay = await start(session, endpoint)

    async def work(with_: Session) -> None:
        while (await row_of_other(with_, replay))["state"] == "RUNNING":
            await step(with_, look=4, make=3)

    await asyncio.gather(work(session), work(other))
    assert [event for event, *_ in await on_the_way(connection)] == events


async def row_of_other(session: Session, replay: int) -> rows.Row:
    (row,) = await session.fetch("SELECT * FROM dispatcher.replays WHERE id = $1", replay)
    replay_row: rows.Row = row
    return replay_row


async def test_a_step_skips_a_replay_that_is_being_changed(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await past_event(connection)
    replay = await start(session, endpoint)
    async with connection.transaction():
        await connection.execute("UPDATE dispatcher.replays SET state = 'CANCELLED'")
        assert await step(session) is None
    assert (await row_of(connection, replay))["made"] == 0


async def test_an_idle_step_takes_no_transaction_id(session: Session) -> None:
    async with session.transaction() as opened:
        assert await Replays(opened).claim(waiting=9, pending=9) is None
        ((taken,),) = await opened.fetch("SELECT pg_current_xact_id_if_assigned()")
    assert taken is None


async def test_a_step_wakes_an_idle_fan_out(connection: Connection, session: Session) -> None:
    endpoint = await rows.endpoint(connection, "*")
    await past_event(connection)
    heard = asyncio.Event()
    await connection.add_listener("dispatcher", lambda *_: heard.set())
    await Inbox(session).announce_listening(10_000)
    await start(session, endpoint)
    assert await step(session)
    await asyncio.wait_for(heard.wait(), 5)


async def test_events_are_kept_while_a_replay_may_need_them(
    connection: Connection, session: Session
) -> None:
    endpoint = await rows.endpoint(connection, "*")
    event = await past_event(connection)
    replay = await start(session, endpoint)

    async def needed(bound: int) -> bool:
        answer: bool = await connection.fetchval(
            "SELECT dispatcher.events_are_referenced($1)", bound
        )
        return answer

    assert await needed(event + 1)
    await connection.execute("UPDATE dispatcher.replays SET position = $1", event)
    assert not await needed(event + 1), "all below it was looked at"
    assert await needed(event + 2)
    await Replays(session).cancel(ENVIRONMENT, endpoint, replay)
    assert not await needed(event + 2)


async def test_a_replay_is_read_only_by_its_environment_and_endpoint(
    connection: Connection, session: Session
) -> None:
    endpoint, other = await rows.endpoint(connection), await rows.endpoint(connection)
    first = await start(session, endpoint)
    store = Replays(session)
    await store.cancel(ENVIRONMENT, endpoint, first)
    second = await start(session, endpoint)

    async def listed(before: int | None, limit: int) -> list[int]:
        replays = await store.list(ENVIRONMENT, endpoint, before=before, limit=limit)
        return [row["id"] for row in replays]

    assert await listed(None, 9) == [second, first]
    assert await listed(None, 1) == [second]
    assert await listed(second, 9) == [first]
    assert await store.list("elsewhere", endpoint, before=None, limit=9) == []
    assert await store.get(ENVIRONMENT, endpoint, first)
    for environment, wrong in (("elsewhere", endpoint), (ENVIRONMENT, other)):
        assert await store.get(environment, wrong, second) is None
        assert await store.cancel(environment, wrong, second) is None
