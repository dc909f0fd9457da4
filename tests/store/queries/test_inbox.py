"""Fan-out: what is in the inbox becomes deliveries, once, in a shard of the daemon that asks."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import time
from typing import Any
from uuid import UUID

import pytest

from dispatcher.core import ids
from dispatcher.core.ids import LARGEST_ID
from dispatcher.engine.fanout.fairness import ORDERED_ENVIRONMENTS
from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.queries.inbox import FannedOut, Inbox, SmallEvent
from dispatcher.store.session import Session
from dispatcher.store.statements import statement
from tests.conftest import Connection, connected
from tests.store import rows
from tests.store.plans.plan import MEASURED, explain

SHARD = 5
NOTHING = FannedOut(0, None, 0, [], set())
LOST = replace(NOTHING, is_lost=True)
UNUSUAL = replace(NOTHING, is_unusual=True)
USUAL_FIRST = True


@pytest.fixture(autouse=True, params=[True, False], ids=["the usual case first", "any case"])
def usual_first(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both statements do the same with plain events; see `fan_out`."""
    monkeypatch.setattr(f"{__name__}.USUAL_FIRST", request.param)
    first: bool = request.param
    return first


async def fan_out(session: Session, owner: int, **changes: Any) -> FannedOut:
    """Run the statement for the usual case first, if it is to be tested, as a daemon does."""
    inbox = Inbox(session)
    arguments = batch(owner) | changes
    if USUAL_FIRST and not changes.keys() & {"excluded_environments", "up_to"}:
        done = await inbox.fan_out_plain(**arguments)
        if not done.is_unusual:
            return done
        assert done == UNUSUAL
    return await inbox.fan_out(**arguments)


def batch(owner: int) -> dict[str, Any]:
    return {"limit": 100, "shard": SHARD, "daemon": owner, "saturated": [], "after_id": 0}


def pairs(done: FannedOut) -> list[tuple[int, UUID]]:
    return sorted((delivery.event_id, delivery.endpoint_id) for delivery in done.deliveries)


async def test_small_events_come_with_the_deliveries_that_are_sent_now(
    connection: Connection, session: Session, owner: int
) -> None:
    await rows.endpoint(connection, "user.*")
    await rows.endpoint(connection, "user.*")
    full = await rows.endpoint(connection, "full.one")
    fits = await rows.event(connection, data='"é78"')
    await rows.event(connection, data='"é789"')
    await rows.event(connection, "full.one", data='"p"')
    limits = {"small_bytes": 6, "small_ids": ids.of_days(time(), 2)}
    done = await fan_out(session, owner, saturated=[full], **limits)
    assert (done.picked, done.made, done.parked) == (3, 5, {full})
    assert done.small_events == [SmallEvent(fits, "user.created", "env_default", '"é78"'.encode())]
    await rows.event(connection)
    assert (await fan_out(session, owner)).small_events == []
    await rows.event(connection)
    elsewhen = ids.of_days(time() - 3 * 86_400, 1)
    assert (await fan_out(session, owner, small_bytes=6, small_ids=elsewhen)).small_events == []


# ── which endpoints ─────────────────────────────────────────────────────────────────────────────


async def test_an_event_makes_a_delivery_for_the_endpoint_that_names_its_type(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "user.created")
    await rows.endpoint(connection, "user.updated")
    event = await rows.event(connection, "user.created")
    done = await fan_out(session, owner)
    assert (done.picked, done.last_picked, done.made, done.parked) == (1, event, 1, set())
    (made,) = done.deliveries
    (row,) = await rows.deliveries(connection)
    assert (made.id, made.event_id, made.endpoint_id) == (row["id"], event, endpoint)
    assert (made.shard, made.attempt, made.base) == (SHARD, 0, 0)
    assert made.next_at == row["next_at"].timestamp()
    assert (row["shard"], row["environment_id"], row["type"]) == (
        SHARD,
        "env_default",
        "user.created",
    )
    assert (row["attempt"], row["base"], row["parked"]) == (0, 0, False)
    assert await connection.fetchval("SELECT $1 <= clock_timestamp()", row["next_at"])
    assert await rows.inbox(connection) == []


@pytest.mark.parametrize(
    ("pattern", "type", "matches"),
    [
        ("user.*", "user.created", True),
        ("user.*", "user.password.reset", True),
        ("user.*", "user", False),
        ("user.*", "users.created", False),
        ("a.b.*", "a.b.c.d", True),
        ("a.b.*", "a.b", False),
        ("*", "user", True),
        ("*", "a.b.c", True),
        ("user.created", "user.created.twice", False),
    ],
)
async def test_a_pattern_matches_types(
    connection: Connection, session: Session, owner: int, pattern: str, type: str, matches: bool
) -> None:
    await rows.endpoint(connection, pattern)
    await rows.event(connection, type)
    done = await fan_out(session, owner)
    assert (done.picked, done.made) == (1, int(matches))
    assert await rows.inbox(connection) == []


async def test_several_patterns_that_match_make_one_delivery(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "*", "a.*", "a.b.*", "a.b.c", "a.b")
    event = await rows.event(connection, "a.b.c")
    assert pairs(await fan_out(session, owner)) == [(event, endpoint)]
    assert await rows.queued(connection) == [(event, endpoint)]


async def test_operational_events_go_only_to_endpoints_that_name_their_type(
    connection: Connection, session: Session, owner: int
) -> None:
    await rows.endpoint(connection, "*", "endpoint.*")
    asked = await rows.endpoint(connection, "endpoint.disabled")
    await connection.execute(
        """INSERT INTO dispatcher.events (type, data, source)
           VALUES ('endpoint.disabled', '{}', 'dispatcher')"""
    )
    assert [one.endpoint_id for one in (await fan_out(session, owner)).deliveries] == [asked]


async def test_inactive_deleted_and_foreign_endpoints_get_no_delivery(
    connection: Connection, session: Session, owner: int
) -> None:
    await rows.environment(connection, "env_b")
    await rows.endpoint(connection, "*", active=False)
    await rows.endpoint(connection, "*", deleted=True)
    await rows.endpoint(connection, "*", environment="env_b")
    await rows.event(connection)
    done = await fan_out(session, owner)
    assert (done.picked, done.made, await rows.inbox(connection)) == (1, 0, [])


async def test_an_event_with_the_source_directed_has_no_inbox_row(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data, source) VALUES ('webhook.test', '{}', 'directed')"
    )
    assert await rows.inbox(connection) == []


async def test_each_event_of_a_batch_makes_one_delivery_for_each_endpoint_in_order(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoints = [await rows.endpoint(connection, "*", "user.*") for _ in range(3)]
    events = [await rows.event(connection) for _ in range(20)]
    done = await fan_out(session, owner)
    assert pairs(done) == sorted((event, endpoint) for event in events for endpoint in endpoints)
    by_delivery = sorted(done.deliveries, key=lambda delivery: delivery.id)
    assert [delivery.event_id for delivery in by_delivery] == [e for e in events for _ in endpoints]
    assert (done.picked, done.last_picked, done.made) == (20, events[-1], 60)


# ── how much, and from where ────────────────────────────────────────────────────────────────────


async def test_the_limit_takes_the_oldest_first(
    connection: Connection, session: Session, owner: int
) -> None:
    events = [await rows.event(connection) for _ in range(5)]
    done = await fan_out(session, owner, limit=2)
    assert (done.picked, done.last_picked) == (2, events[1])
    assert await rows.inbox(connection) == events[2:]


async def test_no_more_events_are_taken_than_make_so_many_deliveries(
    connection: Connection, session: Session, owner: int
) -> None:
    for _ in range(3):
        await rows.endpoint(connection, "user.*")
    directed_at = await rows.endpoint(connection)
    events = [
        *[await rows.event(connection) for _ in range(2)],
        await rows.event(connection, "role.created"),
    ]
    await rows.directed(connection, events[0], directed_at)
    events.append(await rows.event(connection))
    done = await fan_out(session, owner, deliveries_limit=7)
    assert (done.seen, done.picked, done.made) == (5, 4, 7)
    assert await rows.inbox(connection) == events[-1:]


async def test_a_first_event_with_too_many_deliveries_is_left_and_reported(
    connection: Connection, session: Session, owner: int
) -> None:
    for _ in range(3):
        await rows.endpoint(connection, "*")
    event = await rows.event(connection)
    done = await fan_out(session, owner, deliveries_limit=2)
    assert (done.seen, done.picked, done.made) == (1, 0, 0)
    assert await rows.inbox(connection) == [event]


async def test_excluded_environments_are_passed_over(
    connection: Connection, session: Session, owner: int
) -> None:
    elsewhere = await rows.environment(connection, "env_other")
    await rows.event(connection)
    other = await rows.event(connection, environment=elsewhere)
    last = await rows.event(connection)
    done = await fan_out(session, owner, excluded_environments=["env_default"])
    assert (done.seen, done.picked, done.last_picked, done.last_waiting) == (1, 1, other, last)
    assert await fan_out(session, owner, excluded_environments=["env_default"]) == FannedOut(
        0, None, 0, [], set(), last_waiting=last, newest=last
    )


async def test_the_environments_with_the_largest_part_are_reported(
    connection: Connection, session: Session, owner: int
) -> None:
    for n in range(3):
        environment = await rows.environment(connection, f"env_{n}")
        for _ in range((7, 1, 4)[n]):
            await rows.event(connection, environment=environment)
    assert sorted((await fan_out(session, owner, limit=12)).crowding) == ["env_0", "env_2"]


async def test_one_daemon_at_a_time_fans_out_for_an_environment_with_ordered_endpoints(
    connection: Connection, session: Session, owner: int, dsn: str
) -> None:
    """The others wait for nothing: they take events of other environments."""
    elsewhere = await rows.environment(connection, "env_other")
    await rows.endpoint(connection, "*", home=3)
    first = await rows.event(connection)
    async with connected(dsn) as slow, slow.transaction():
        await slow.fetch(
            statement("inbox/fan_out"), 1, SHARD, owner, [], 0, [], 9, LARGEST_ID, 0, 0, 0
        )
        second = await rows.event(connection)
        other = await rows.event(connection, environment=elsewhere)
        done = await fan_out(session, owner)
        assert (done.seen, done.picked, done.last_picked) == (1, 1, other)
        sliced = await Inbox(session).fan_out_slice(
            limit=9, shard=SHARD, daemon=owner, saturated=[]
        )
        assert (sliced.seen, sliced.made) == (0, 0)
    await fan_out(session, owner)
    made = await connection.fetch("SELECT event_id FROM dispatcher.deliveries ORDER BY id")
    assert [row["event_id"] for row in made] == [first, second]


async def test_without_ordered_endpoints_the_order_lock_is_not_taken(
    connection: Connection, session: Session, owner: int, dsn: str
) -> None:
    await rows.endpoint(connection, "*")
    await rows.event(connection)
    async with connected(dsn) as slow, slow.transaction():
        await slow.fetch(
            statement("inbox/fan_out"), 1, SHARD, owner, [], 0, [], 9, LARGEST_ID, 0, 0, 0
        )
        event = await rows.event(connection)
        done = await fan_out(session, owner)
        assert (done.picked, done.last_picked) == (1, event)


async def test_rows_above_the_watermark_are_taken_and_the_others_stay_for_the_sweep(
    connection: Connection, session: Session, owner: int
) -> None:
    events = [await rows.event(connection) for _ in range(3)]
    done = await fan_out(session, owner, after_id=events[1])
    assert (done.picked, done.last_picked) == (1, events[2])
    assert await fan_out(session, owner, after_id=events[1]) == NOTHING
    assert (await fan_out(session, owner)).picked == 2


async def test_an_event_committed_after_a_later_one_was_fanned_out_is_found(
    connection: Connection, session: Session, owner: int, dsn: str
) -> None:
    async with connected(dsn) as slow:
        transaction = slow.transaction()
        await transaction.start()
        late = await rows.event(slow)
        early = await rows.event(connection)
        assert late < early
        assert (await fan_out(session, owner)).last_picked == early
        await transaction.commit()
    done = await fan_out(session, owner, after_id=late - 1)
    assert (done.picked, done.last_picked) == (1, late)


async def test_reading_an_empty_inbox_takes_no_transaction_id(
    connection: Connection, owner: int, usual_first: bool
) -> None:
    await rows.endpoint(connection, "*")
    look = statement("inbox/fan_out_plain" if usual_first else "inbox/fan_out")
    limits: tuple[object, ...] = (9, 0) if usual_first else ([], 9, LARGEST_ID, 0)
    arguments = (100, SHARD, owner, [], 0, *limits, 0, 0)
    taken = "SELECT pg_current_xact_id_if_assigned()::text"
    async with connection.transaction():
        await connection.fetch(look, *arguments)
        assert await connection.fetchval(taken) is None
        await rows.event(connection)
        await connection.fetch(look, *arguments)
        assert await connection.fetchval(taken) is not None


# ── what is not usual ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE dispatcher.shards SET owner = 99 WHERE shard = 60",
        "UPDATE dispatcher.endpoints SET ordered = true",
        "UPDATE dispatcher.inbox SET after_endpoint = (SELECT id FROM dispatcher.endpoints LIMIT 1)",
        """INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id)
           SELECT dispatcher.next_id(), i.event_id, i.environment_id, i.type, e.id
           FROM dispatcher.inbox i, dispatcher.endpoints e""",
        "UPDATE dispatcher.shards SET owner = NULL",
    ],
)
async def test_in_an_unusual_case_the_statement_for_the_usual_one_takes_nothing(
    connection: Connection, session: Session, owner: int, change: str
) -> None:
    await rows.endpoint(connection, "*")
    inbox = Inbox(session)
    await rows.event(connection)
    assert (await inbox.fan_out_plain(**batch(owner))).made == 1
    await rows.event(connection)
    await connection.execute(change)
    before = await rows.inbox(connection)
    assert await inbox.fan_out_plain(**batch(owner)) == UNUSUAL
    assert await rows.inbox(connection) == before


async def test_more_deliveries_than_one_statement_makes_are_unusual(
    connection: Connection, session: Session, owner: int
) -> None:
    for _ in range(3):
        await rows.endpoint(connection, "*")
    events = [await rows.event(connection) for _ in range(2)]
    inbox = Inbox(session)
    assert await inbox.fan_out_plain(**batch(owner), deliveries_limit=5) == UNUSUAL
    assert await rows.inbox(connection) == events
    assert (await inbox.fan_out_plain(**batch(owner), deliveries_limit=6)).made == 6


async def test_a_row_that_a_session_holds_is_unusual(
    connection: Connection, session: Session, owner: int, dsn: str
) -> None:
    event = await rows.event(connection)
    async with connected(dsn) as frozen, frozen.transaction():
        await frozen.execute("SELECT 1 FROM dispatcher.inbox FOR UPDATE")
        await rows.event(connection)
        assert await Inbox(session).fan_out_plain(**batch(owner)) == UNUSUAL
    assert event in await rows.inbox(connection)


# ── who may ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_daemon_without_the_shard_takes_nothing_from_the_inbox(
    connection: Connection, session: Session, owner: int
) -> None:
    await rows.endpoint(connection, "*")
    event = await rows.event(connection)
    assert await fan_out(session, owner + 1) == LOST
    await connection.execute("UPDATE dispatcher.shards SET owner = NULL WHERE shard = $1", SHARD)
    assert await fan_out(session, owner) == LOST
    slice_ = await Inbox(session).fan_out_slice(limit=9, shard=SHARD, daemon=owner, saturated=[])
    assert slice_ == LOST
    assert (await rows.inbox(connection), await rows.deliveries(connection)) == ([event], [])


async def test_a_shard_taken_over_during_the_statement_gets_no_deliveries(
    connection: Connection, session: Session, owner: int, dsn: str
) -> None:
    await rows.endpoint(connection, "*")
    event = await rows.event(connection)
    (pid,) = (await session.fetch("SELECT pg_backend_pid()"))[0]
    async with connected(dsn) as watcher:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE dispatcher.shards SET owner = 99 WHERE shard = $1", SHARD)
        waiting = asyncio.create_task(fan_out(session, owner))
        await rows.waits_for_lock(watcher, pid)
        await transaction.commit()
    assert await waiting == LOST
    assert (await rows.inbox(connection), await rows.deliveries(connection)) == ([event], [])


async def test_two_sessions_at_once_share_the_inbox(
    connection: Connection, session: Session, other: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection, "*", "user.*")
    events = [await rows.event(connection) for _ in range(200)]

    async def drain(with_session: Session, shard: int) -> Sequence[tuple[int, UUID]]:
        made: list[tuple[int, UUID]] = []
        while (done := await fan_out(with_session, owner, limit=3, shard=shard)).picked:
            made += pairs(done)
        return made

    both = await asyncio.gather(drain(session, 1), drain(other, 2))
    assert sorted([*both[0], *both[1]]) == [(event, endpoint) for event in events]
    assert await rows.queued(connection) == [(event, endpoint) for event in events]


async def test_rows_another_session_holds_are_passed_over_without_waiting(
    connection: Connection, session: Session, owner: int
) -> None:
    events = [await rows.event(connection) for _ in range(3)]
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM dispatcher.inbox WHERE id = $1 FOR UPDATE", events[0]
        )
        async with asyncio.timeout(30):
            done = await fan_out(session, owner)
    assert (done.picked, done.last_picked) == (2, events[2])
    assert await rows.inbox(connection) == events[:1]


@pytest.mark.parametrize("is_alone", [True, False])
async def test_rows_behind_more_held_ones_than_a_statement_takes_are_found(
    connection: Connection, session: Session, owner: int, is_alone: bool
) -> None:
    if not is_alone:
        await connection.execute("UPDATE dispatcher.shards SET owner = 8 WHERE shard = 63")
    events = [await rows.event(connection) for _ in range(5)]
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM dispatcher.inbox WHERE id <= $1 FOR UPDATE", events[2]
        )
        async with asyncio.timeout(30):
            done = await fan_out(session, owner, limit=2)
    assert (done.picked, done.last_picked) == (2, events[4])
    assert (await fan_out(session, owner, limit=3)).picked == 3  # they were held once


async def test_directed_rows_that_a_person_deletes_are_passed_over(
    connection: Connection, session: Session, owner: int
) -> None:
    endpoint = await rows.endpoint(connection)
    event = await rows.event(connection)
    first, second = [await rows.directed(connection, event, endpoint) for _ in range(2)]
    async with connection.transaction():
        await connection.execute("DELETE FROM dispatcher.inbox WHERE id = $1", second)
        async with asyncio.timeout(30):
            done = await fan_out(session, owner)
    assert (done.picked, done.last_picked, done.made) == (2, first, 1)


@pytest.mark.parametrize("is_alone", [True, False])
async def test_rows_that_were_held_are_taken_in_their_order(
    connection: Connection, session: Session, owner: int, is_alone: bool
) -> None:
    if not is_alone:
        await connection.execute("UPDATE dispatcher.shards SET owner = 8 WHERE shard = 63")
    endpoint = await rows.endpoint(connection, "*")
    events = [await rows.event(connection) for _ in range(6)]
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM dispatcher.inbox WHERE id = ANY ($1) FOR UPDATE", events[1:6:2]
        )
    done = await fan_out(session, owner)
    assert (done.picked, done.last_picked, done.seen, done.chosen) == (6, events[5], 6, 6)
    assert [
        delivery.event_id for delivery in sorted(done.deliveries, key=lambda one: one.id)
    ] == events
    assert await rows.queued(connection) == [(event, endpoint) for event in events]


# ── parked from the start ───────────────────────────────────────────────────────────────────────


async def test_deliveries_for_a_full_queue_are_made_parked_and_not_returned(
    connection: Connection, session: Session, owner: int
) -> None:
    full = await rows.endpoint(connection, "*")
    free = await rows.endpoint(connection, "*")
    event = await rows.event(connection)
    done = await fan_out(session, owner, saturated=[full])
    assert (pairs(done), done.made, done.parked) == ([(event, free)], 2, {full})
    parked = {row["endpoint_id"]: row["parked"] for row in await rows.deliveries(connection)}
    assert parked == {full: True, free: False}


async def test_deliveries_for_an_ordered_endpoint_are_parked_in_its_home_shard(
    connection: Connection, session: Session, owner: int
) -> None:
    ordered = await rows.endpoint(connection, "*", home=41)
    await rows.event(connection)
    done = await fan_out(session, owner)
    assert (done.deliveries, done.made, done.parked) == ([], 1, {ordered})
    (row,) = await rows.deliveries(connection)
    assert (row["shard"], row["parked"]) == (41, True)


# ── the mark ────────────────────────────────────────────────────────────────────────────────────

KEPT = 300_000
"""Rows that were taken, and cannot be removed while a snapshot from before is held."""
PAST = """
INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
SELECT dispatcher.id_floor(now() - interval '10 minutes') + n, n, 'env_default', 'a' FROM generate_series(1, $1::integer) AS n
"""


async def old_id(connection: Connection, minutes: int) -> int:
    number: int = await connection.fetchval(
        "SELECT dispatcher.id_floor(now() - make_interval(mins => $1))", minutes
    )
    return number


async def test_the_mark_is_shared_by_all_daemons_and_never_lowered(
    connection: Connection, session: Session
) -> None:
    older, newer = await old_id(connection, 9), await old_id(connection, 5)
    await connection.execute("SELECT setval('dispatcher.inbox_mark', 0)")
    assert await Inbox(session).raise_mark(newer) == newer
    assert await Inbox(session).raise_mark(older) == newer
    assert await Inbox(session).raise_mark(0) == newer


async def test_the_mark_stays_below_waiting_rows_and_the_last_minute(
    connection: Connection, session: Session
) -> None:
    before = await old_id(connection, 1)
    assert before <= await Inbox(session).raise_mark(LARGEST_ID) <= await old_id(connection, 1)
    await connection.execute("SELECT setval('dispatcher.inbox_mark', 0)")
    await connection.execute(PAST, 1)
    (waits,) = await rows.inbox(connection)
    assert await Inbox(session).raise_mark(LARGEST_ID) == waits - 1


async def test_the_mark_goes_back_with_a_clock_that_was_set_back(
    connection: Connection, session: Session
) -> None:
    ahead = await old_id(connection, -60)
    await connection.execute("SELECT setval('dispatcher.inbox_mark', $1::bigint)", ahead)
    assert await Inbox(session).raise_mark(0) <= await old_id(connection, 1)


async def test_the_first_row_of_a_range_is_found_except_in_the_last_second(
    connection: Connection, session: Session
) -> None:
    await connection.execute(PAST, 2)
    older, newer = await rows.inbox(connection)
    inbox = Inbox(session)
    assert (await inbox.first(after_id=0))[0] == older
    assert await inbox.first(after_id=older, up_to=newer) == (newer, newer)
    assert await inbox.first(after_id=0, up_to=older - 1) == (None, older - 1)
    assert (await inbox.first(after_id=0, excluded_environments=["env_default"]))[0] is None
    assert await inbox.first(after_id=LARGEST_ID) == (None, LARGEST_ID)


async def test_the_first_row_is_not_of_an_environment_with_an_order_if_those_are_excluded(
    connection: Connection, session: Session
) -> None:
    await connection.execute(PAST, 2)
    first, _ = await rows.inbox(connection)
    without_ordered = [ORDERED_ENVIRONMENTS]
    inbox = Inbox(session)
    assert (await inbox.first(after_id=0, excluded_environments=without_ordered))[0] == first
    await connection.execute(
        "UPDATE dispatcher.endpoints SET ordered = true WHERE id = $1",
        await rows.endpoint(connection),
    )
    assert (await inbox.first(after_id=0, excluded_environments=without_ordered))[0] is None


@pytest.mark.long
async def test_rows_kept_for_an_old_snapshot_are_not_read_above_the_mark(
    connection: Connection, session: Session, dsn: str
) -> None:
    async with connected(dsn) as old:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        await connection.execute(PAST, KEPT)
        await connection.execute("DELETE FROM dispatcher.inbox")
        for above, limit in ((0, None), (await Inbox(session).raise_mark(LARGEST_ID), 300)):
            plan = await explain(
                connection,
                "inbox/fan_out",
                f"500, {SHARD}::smallint, 1, '{{}}', {above}, '{{}}', 20000, {LARGEST_ID}, 2048, 0, {LARGEST_ID}",
                "generic",
                MEASURED,
                plan_settings("fanout"),
            )
            assert plan.blocks <= limit if limit else plan.blocks > 1000
