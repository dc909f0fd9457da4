"""Daemons and their shards: who is alive, who is taken for dead, and who gets what is free."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from dispatcher.store.daemons import Daemons
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

ALL = set(range(64))


@pytest.fixture
def daemons(session: Session) -> Daemons:
    return Daemons(session)


@pytest.fixture
def others(other: Session) -> Daemons:
    """The same, of another process."""
    return Daemons(other)


async def silent_for(connection: Connection, daemon: int, seconds: float) -> None:
    await connection.execute(
        """UPDATE dispatcher.daemons SET renewed_at = clock_timestamp() - make_interval(secs => $2)
           WHERE id = $1""",
        daemon,
        seconds,
    )


async def owned(connection: Connection, daemon: int | None) -> set[int]:
    found = await connection.fetch(
        "SELECT shard FROM dispatcher.shards WHERE owner IS NOT DISTINCT FROM $1", daemon
    )
    return {row["shard"] for row in found}


async def ends(session: Session, connection: Connection) -> None:
    """The session's process is gone, and so are its locks."""
    (pid,) = (await session.fetch("SELECT pg_backend_pid()"))[0]
    await session.close()
    await rows.until(
        connection, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)", pid
    )


# ── joining and renewing ────────────────────────────────────────────────────────────────────────


async def test_joining_enters_the_daemon_and_takes_its_lock(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    assert await daemons.join(1, 77)
    assert not await others.join(2, 77)
    assert await others.join(2, 78)
    ids = await connection.fetch("SELECT id FROM dispatcher.daemons ORDER BY id")
    assert [row["id"] for row in ids] == [1, 2]


async def test_the_lock_goes_with_the_session(
    connection: Connection, session: Session, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1, 77)
    await ends(session, connection)
    assert await others.join(2, 77)


async def test_a_heartbeat_answers_with_all_a_daemon_must_know(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1, 71)
    await silent_for(connection, 1, 5)
    await others.join(2, 72)
    await connection.execute("UPDATE dispatcher.endpoint_version SET version = 12")
    await connection.execute("UPDATE dispatcher.shards SET owner = 1 WHERE shard IN (3, 63)")
    before = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    renewal = await daemons.renew(1, 11)
    assert renewal is not None
    assert 0 <= renewal.now - before < 5
    assert renewal.shards == {3, 63}
    assert (renewal.version, renewal.others) == (12, 1)
    row = await connection.fetchrow("SELECT * FROM dispatcher.daemons WHERE id = 1")
    assert row is not None
    assert row["confirmed_version"] == 11
    assert row["renewed_at"].timestamp() >= before


async def test_daemons_silent_for_more_than_12_tenths_of_a_second_do_not_count(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1, 71)
    await others.join(2, 72)
    await silent_for(connection, 2, 1.3)
    renewal = await daemons.renew(1, 0)
    assert renewal is not None
    assert renewal.others == 0


async def test_a_daemon_that_is_not_entered_gets_no_answer(daemons: Daemons) -> None:
    assert await daemons.renew(1, 0) is None


# ── claiming ────────────────────────────────────────────────────────────────────────────────────


async def test_shards_without_an_owner_are_free_up_to_the_number_asked_for(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1, 71)
    assert len(await daemons.claim_shards(1, 40)) == 40
    assert len(await daemons.claim_shards(1, 40)) == 24
    assert await daemons.claim_shards(1, 40) == set()
    assert await owned(connection, 1) == ALL


async def test_each_change_of_hands_raises_the_epoch(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1, 71)
    for _ in range(3):
        await daemons.claim_shards(1, 64)
        await daemons.release_shards(1, ALL)
    epochs = await connection.fetch("SELECT DISTINCT epoch FROM dispatcher.shards")
    assert [row["epoch"] for row in epochs] == [3]


@pytest.mark.parametrize("silence", [0.0, 1.0, 9.5])
async def test_shards_of_a_daemon_that_holds_its_lock_are_not_free(
    connection: Connection, daemons: Daemons, others: Daemons, silence: float
) -> None:
    await others.join(2, 72)
    await others.claim_shards(2, 64)
    await silent_for(connection, 2, silence)
    await daemons.join(1, 71)
    assert await daemons.claim_shards(1, 64) == set()


async def test_shards_of_a_daemon_that_just_lost_its_lock_are_not_free_yet(
    connection: Connection, daemons: Daemons, other: Session, others: Daemons
) -> None:
    """It may be sending until a second after its last heartbeat."""
    await others.join(2, 72)
    await others.claim_shards(2, 64)
    await ends(other, connection)
    await silent_for(connection, 2, 0.2)
    await daemons.join(1, 71)
    assert await daemons.claim_shards(1, 64) == set()


async def test_shards_of_a_daemon_without_its_lock_are_free_after_12_tenths_of_a_second(
    connection: Connection, daemons: Daemons, other: Session, others: Daemons
) -> None:
    await others.join(2, 72)
    await others.claim_shards(2, 64)
    await ends(other, connection)
    await silent_for(connection, 2, 1.21)
    await daemons.join(1, 71)
    assert await daemons.claim_shards(1, 64) == ALL


async def test_a_clock_set_back_keeps_no_shards_of_the_dead(
    connection: Connection, daemons: Daemons, others: Daemons, other: Session
) -> None:
    await others.join(2, 72)
    await others.claim_shards(2, 64)
    await ends(other, connection)
    await silent_for(connection, 2, -3600)
    await daemons.join(1, 71)
    renewal = await daemons.renew(1, 0)
    assert renewal is not None
    assert renewal.others == 0
    assert await daemons.claim_shards(1, 64) == ALL


async def test_a_lock_of_the_same_number_in_another_database_or_of_another_kind_is_no_sign_of_life(
    connection: Connection, daemons: Daemons, maintenance: Connection
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.daemons VALUES (2, 72, now() - interval '2 s', 0);"
        "UPDATE dispatcher.shards SET owner = 2;"
        "SELECT pg_advisory_lock((1684632432::bigint << 32) + 72)"
    )
    await maintenance.execute("SELECT pg_advisory_lock(1684632432, 72)")
    try:
        await daemons.join(1, 71)
        assert await daemons.claim_shards(1, 64) == ALL
    finally:
        await maintenance.execute("SELECT pg_advisory_unlock(1684632432, 72)")


async def test_shards_of_a_frozen_daemon_are_free_when_the_lease_is_over_and_it_learns_so(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await others.join(2, 72)
    await others.claim_shards(2, 64)
    await silent_for(connection, 2, 10.1)
    await daemons.join(1, 71)
    assert await daemons.claim_shards(1, 60) == set(range(60))
    assert await others.renew(2, 0) is None
    assert await daemons.claim_shards(1, 60) == {60, 61, 62, 63}


async def test_a_daemon_that_thaws_before_it_is_taken_for_dead_keeps_its_shards(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await others.join(2, 72)
    await others.claim_shards(2, 64)
    await silent_for(connection, 2, 10.1)
    await daemons.join(1, 71)
    renewal = await others.renew(2, 0)
    assert renewal is not None
    assert renewal.shards == ALL
    assert await daemons.claim_shards(1, 64) == set()


async def test_a_heartbeat_under_way_is_a_sign_of_life(
    connection: Connection, daemons: Daemons
) -> None:
    """What is decided meanwhile could not be in its answer."""
    await connection.execute(
        "INSERT INTO dispatcher.daemons VALUES (2, 72, now() - interval '60 s', 0);"
        "UPDATE dispatcher.shards SET owner = 2"
    )
    await daemons.join(1, 71)
    async with connection.transaction():
        await connection.execute("UPDATE dispatcher.daemons SET renewed_at = now() WHERE id = 2")
        async with asyncio.timeout(5):
            assert await daemons.claim_shards(1, 64) == set()
    assert await daemons.claim_shards(1, 64) == set()


async def test_shards_of_an_owner_nobody_knows_are_free(
    connection: Connection, daemons: Daemons
) -> None:
    await connection.execute("UPDATE dispatcher.shards SET owner = 99")
    await daemons.join(1, 71)
    assert await daemons.claim_shards(1, 64) == ALL


async def test_claiming_is_no_reason_to_forget_oneself(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1, 71)
    await daemons.claim_shards(1, 10)
    await silent_for(connection, 1, 60)
    assert await daemons.claim_shards(1, 64) == set(range(10, 64))
    assert await daemons.renew(1, 0) is not None


@pytest.fixture
async def sessions(dsn: str) -> AsyncIterator[list[Session]]:
    opened = [Session(dsn, f"claimer {n}") for n in range(4)]
    yield opened
    for each in opened:
        await each.close()


async def test_claimers_who_come_and_go_never_get_the_same_shard(
    connection: Connection, sessions: list[Session]
) -> None:
    numbers = count(1)
    held: dict[int, int] = {}

    async def come_and_go(session: Session) -> None:
        claimer = Daemons(session)
        for turn in range(40):
            daemon = next(numbers)
            assert await claimer.join(daemon, daemon)
            got = await claimer.claim_shards(daemon, 20)
            assert held.keys().isdisjoint(got)
            held.update(dict.fromkeys(got, daemon))
            renewal = await claimer.renew(daemon, 0)
            assert renewal is not None
            assert renewal.shards == got
            for shard in got:
                del held[shard]
            if turn % 2:
                await claimer.release_shards(daemon, got)
            await claimer.leave(daemon)

    await asyncio.gather(*(come_and_go(session) for session in sessions))
    assert await owned(connection, None) == ALL


# ── going ───────────────────────────────────────────────────────────────────────────────────────


async def test_released_shards_are_free_at_once_and_only_ones_own(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1, 71)
    await others.join(2, 72)
    await daemons.claim_shards(1, 32)
    await others.claim_shards(2, 32)
    await daemons.release_shards(1, [0, 1, 40])
    assert await owned(connection, None) == {0, 1}
    assert await owned(connection, 2) == set(range(32, 64))
    assert await others.claim_shards(2, 9) == {0, 1}


async def test_leaving_frees_everything_and_takes_the_name_off(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1, 71)
    await daemons.claim_shards(1, 64)
    await daemons.leave(1)
    assert await owned(connection, None) == ALL
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.daemons") == 0


async def test_the_long_dead_who_own_nothing_are_forgotten(
    connection: Connection, daemons: Daemons
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.daemons
           SELECT n, n, now() - interval '1 hour' - (2 - n) * interval '1 min' FROM generate_series(1, 3) AS n;
           INSERT INTO dispatcher.daemons VALUES (4, 4, now() - interval '2 hours');
           UPDATE dispatcher.shards SET owner = 4 WHERE shard = 0"""
    )
    await daemons.forget_dead()
    left = await connection.fetch("SELECT id FROM dispatcher.daemons ORDER BY id")
    assert [row["id"] for row in left] == [3, 4]
