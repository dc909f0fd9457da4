"""Daemons and their shards: who is alive, who is taken for dead, and who gets what is free."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from itertools import count

import pytest

from dispatcher.core.model import SilentDaemon
from dispatcher.store.queries.daemons import DRAINING, Daemons
from dispatcher.store.queries.inbox import Inbox
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
    records = await connection.fetch(
        "SELECT shard FROM dispatcher.shards WHERE owner IS NOT DISTINCT FROM $1", daemon
    )
    return {row["shard"] for row in records}


async def ends(session: Session, connection: Connection) -> None:
    """The session's process is gone, and so are its locks."""
    (pid,) = (await session.fetch("SELECT pg_backend_pid()"))[0]
    await session.close()
    await rows.until_true(
        connection, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)", pid
    )


async def claim(daemons: Daemons, daemon: int, limit: int, *silent: SilentDaemon) -> set[int]:
    return {c.shard for c in await daemons.claim_shards(daemon, limit, silent)}


def quiet(daemon: int, renewals: int = 0) -> SilentDaemon:
    """Seen silent for 1.2 s."""
    return SilentDaemon(daemon, renewals, whole_lease=False)


def frozen(daemon: int, renewals: int = 0) -> SilentDaemon:
    """Seen silent for a whole lease."""
    return SilentDaemon(daemon, renewals, whole_lease=True)


# ── a clock that was set back while no daemon ran ───────────────────────────────────────────────


async def listened(connection: Connection, seconds: float) -> None:
    """A daemon's last keepalive was so many seconds ago; negative: the clock was set back since."""
    await connection.execute(
        "SELECT setval('dispatcher.listen_until', dispatcher.now_ms() + 10000 - $1::float8::bigint)",
        seconds * 1000,
    )


async def test_a_clock_set_back_while_no_daemon_ran_is_noticed_once(
    connection: Connection, daemons: Daemons
) -> None:
    assert await daemons.take_clock_step() is None
    await listened(connection, -3_600)
    step = await daemons.take_clock_step()
    assert step is not None
    assert step.seconds == pytest.approx(3_600, abs=60)
    assert step.shards == ALL
    assert await daemons.take_clock_step() is None


async def test_a_clock_set_back_after_a_drain_was_cut_short_is_noticed(
    connection: Connection, session: Session, daemons: Daemons, others: Daemons, other: Session
) -> None:
    """Its claim shows the step of shard 0, which still names the daemon. The others show nothing."""
    await others.join(2)
    await claim(others, 2, 64)
    await others.release_shards(2, range(1, 64))
    await ends(other, connection)
    await silent_for(connection, 2, -3_600)
    await listened(connection, -3_600)
    await Inbox(session).announce_listening(10_000)  # the listener may be first
    step = await daemons.take_clock_step()
    assert step is not None
    assert step.seconds == pytest.approx(3_600, abs=60)
    assert step.shards == ALL - {0}
    await daemons.join(1)
    claimed = await daemons.claim_shards(1, 64, [quiet(2)])
    assert {c.shard for c in claimed if c.age is not None} == {0}


@pytest.mark.parametrize("seconds", [-4.0, 0.0, 3_600.0])
async def test_a_daemon_that_just_left_or_left_long_ago_is_no_step(
    connection: Connection, daemons: Daemons, seconds: float
) -> None:
    await listened(connection, seconds)
    assert await daemons.take_clock_step() is None


async def test_beside_another_daemon_no_step_is_taken(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    """That one notices the step itself, or died: then its last heartbeat shows the step."""
    await others.join(2)
    await listened(connection, -3_600)
    assert await daemons.take_clock_step() is None


async def test_of_two_daemons_that_start_at_once_one_takes_the_step(
    connection: Connection, session: Session, daemons: Daemons, others: Daemons
) -> None:
    await listened(connection, -3_600)
    async with session.transaction() as opened:
        assert await Daemons(opened).take_clock_step() is not None
        assert await others.take_clock_step() is None
    assert await others.take_clock_step() is None


# ── joining and renewing ────────────────────────────────────────────────────────────────────────


async def test_joining_records_the_server_process_of_the_session(
    connection: Connection, session: Session, daemons: Daemons
) -> None:
    await daemons.join(1)
    (process,) = await session.fetch(
        "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    )
    entered = await connection.fetchrow("SELECT * FROM dispatcher.daemons")
    assert entered is not None
    assert (entered["id"], entered["renewals"]) == (1, 0)
    assert (entered["backend_pid"], entered["backend_start"]) == tuple(process)


async def test_joining_twice_with_one_id_counts_the_last_session(
    connection: Connection, daemons: Daemons, other: Session, others: Daemons
) -> None:
    await daemons.join(1)
    await others.join(1)
    (process,) = (await other.fetch("SELECT pg_backend_pid()"))[0]
    assert await connection.fetchval("SELECT backend_pid FROM dispatcher.daemons") == process
    assert await daemons.renew(1, 0) is None


async def test_joining_again_takes_over_only_the_daemons_own_shards(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1)
    await daemons.join(2)
    await claim(daemons, 1, 40)
    await claim(daemons, 2, 24)
    await others.join(3, before=1)
    assert await owned(connection, 3) == set(range(40))
    assert await owned(connection, 2) == set(range(40, 64))
    assert await daemons.renew(1, 0) is None


async def test_joining_again_does_not_wait_for_locks_of_the_lost_session(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1)
    await claim(daemons, 1, 64)
    async with connection.transaction():
        await connection.execute("SELECT FROM dispatcher.daemons WHERE id = 1 FOR UPDATE")
        await connection.execute("SELECT FROM dispatcher.shards WHERE shard = 5 FOR UPDATE")
        async with asyncio.timeout(30):
            await others.join(2, before=1)
    assert await owned(connection, 2) == ALL - {5}


async def test_a_heartbeat_returns_clock_version_shards_and_neighbours(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1)
    await others.join(3)
    await others.renew(3, 0)
    await others.join(2)
    await silent_for(connection, 2, 1_000)
    await connection.execute("UPDATE dispatcher.endpoint_version SET version = 12")
    await connection.execute("UPDATE dispatcher.shards SET owner = 1 WHERE shard IN (3, 63)")
    before = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    written = await connection.fetchval("SELECT pg_current_xact_id()::text")
    renewal = await daemons.renew(1, 11)
    assert renewal is not None
    assert 0 <= renewal.now - before < 5
    assert renewal.shards == {3, 63}
    assert renewal.version == 12
    assert int(renewal.horizon) > int(written)
    assert [(h.daemon, h.renewals) for h in renewal.others] == [(2, 0), (3, 1)]
    assert [h.age for h in renewal.others] == [
        pytest.approx(1_000, abs=60),
        pytest.approx(0, abs=60),
    ]
    row = await connection.fetchrow("SELECT * FROM dispatcher.daemons WHERE id = 1")
    assert row is not None
    assert (row["confirmed_version"], row["renewals"]) == (11, 1)
    assert row["renewed_at"].timestamp() >= before


async def test_a_draining_daemon_is_seen_to_drain_and_no_change_waits_for_it(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    for daemon in (2, 3):
        await others.join(daemon)
    await others.renew(2, DRAINING)
    await others.renew(3, 11)
    await daemons.join(1)
    renewal = await daemons.renew(1, 12)
    assert renewal is not None
    assert [(h.daemon, h.is_draining) for h in renewal.others] == [(2, True), (3, False)]
    assert await daemons.count_outdated(12) == 1, "the one that goes on"


async def test_only_the_session_that_joined_can_send_heartbeats(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1)
    assert await others.renew(1, 0) is None
    assert await connection.fetchval("SELECT renewals FROM dispatcher.daemons") == 0


async def test_a_heartbeat_of_an_unknown_daemon_returns_nothing(daemons: Daemons) -> None:
    assert await daemons.renew(1, 0) is None


# ── claiming ────────────────────────────────────────────────────────────────────────────────────


async def test_shards_without_an_owner_are_free_up_to_the_number_asked_for(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1)
    assert len(await claim(daemons, 1, 40)) == 40
    assert len(await claim(daemons, 1, 40)) == 24
    assert await claim(daemons, 1, 40) == set()
    assert await owned(connection, 1) == ALL


async def test_each_change_of_owner_raises_the_epoch(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1)
    for _ in range(3):
        await claim(daemons, 1, 64)
        await daemons.release_shards(1, ALL)
    epochs = await connection.fetch("SELECT DISTINCT epoch FROM dispatcher.shards")
    assert [row["epoch"] for row in epochs] == [3]


async def test_shards_of_a_daemon_whose_session_lives_are_not_free(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await others.join(2)
    await claim(others, 2, 64)
    await silent_for(connection, 2, 3_600)
    await daemons.join(1)
    assert await claim(daemons, 1, 64) == set()
    assert await claim(daemons, 1, 64, quiet(2)) == set()


async def test_shards_of_a_daemon_that_was_not_seen_silent_are_not_free(
    connection: Connection, daemons: Daemons, other: Session, others: Daemons
) -> None:
    """It may be sending until a second after its last heartbeat."""
    await others.join(2)
    await others.renew(2, 0)
    await claim(others, 2, 64)
    await ends(other, connection)
    await silent_for(connection, 2, 3_600)
    await daemons.join(1)
    assert await claim(daemons, 1, 64) == set()
    assert await claim(daemons, 1, 64, quiet(2, renewals=0), frozen(2, renewals=2)) == set()


async def test_shards_of_a_silent_daemon_whose_session_has_ended_are_free(
    connection: Connection, daemons: Daemons, other: Session, others: Daemons
) -> None:
    await others.join(2)
    await others.renew(2, 0)
    await claim(others, 2, 64)
    await ends(other, connection)
    await daemons.join(1)
    claimed = await daemons.claim_shards(1, 64, [quiet(2, renewals=1)])
    assert {c.shard for c in claimed} == ALL
    assert all(c.age is not None and 0 <= c.age < 60 for c in claimed)


async def test_shards_of_dead_daemons_are_taken_after_the_clock_was_set_back(
    connection: Connection, daemons: Daemons, others: Daemons, other: Session
) -> None:
    await others.join(2)
    await claim(others, 2, 64)
    await ends(other, connection)
    await silent_for(connection, 2, -3_600)
    await daemons.join(1)
    claimed = await daemons.claim_shards(1, 64, [quiet(2)])
    assert {c.shard for c in claimed} == ALL
    assert all(c.age == pytest.approx(-3_600, abs=60) for c in claimed)


@pytest.mark.parametrize("start", ["backend_start - interval '1 us'", "NULL"])
async def test_a_reused_process_number_is_not_a_sign_of_life_if_its_start_differs(
    connection: Connection, daemons: Daemons, others: Daemons, start: str
) -> None:
    await others.join(2)
    await claim(others, 2, 64)
    await connection.execute(f"UPDATE dispatcher.daemons SET backend_start = {start}")  # noqa: S608
    await daemons.join(1)
    assert await claim(daemons, 1, 64, quiet(2)) == (set() if start == "NULL" else ALL)


async def test_a_server_process_of_another_database_is_not_a_sign_of_life(
    connection: Connection, daemons: Daemons, maintenance: Connection
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at, backend_pid) VALUES (2, now(), $1)",
        await maintenance.fetchval("SELECT pg_backend_pid()"),
    )
    await connection.execute("UPDATE dispatcher.shards SET owner = 2")
    await daemons.join(1)
    assert await claim(daemons, 1, 64, quiet(2)) == ALL


async def test_a_daemon_without_a_process_on_record_keeps_its_shards_for_the_whole_lease(
    connection: Connection, daemons: Daemons
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (2, now());"
        "UPDATE dispatcher.shards SET owner = 2"
    )
    await daemons.join(1)
    assert await claim(daemons, 1, 64, quiet(2)) == set()
    assert await claim(daemons, 1, 64, frozen(2)) == ALL


async def test_roles_that_cannot_see_other_sessions_compare_process_numbers(
    connection: Connection, dsn: str, daemons: Daemons, other: Session, others: Daemons
) -> None:
    """When another role's session began is hidden: as long as there is one, it may be the same."""
    role = f"daemon_{secrets.token_hex(4)}"
    await connection.execute(
        f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA dispatcher TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA dispatcher TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA dispatcher TO {role}"
    )
    claimer = Session(dsn, "claimer", settings={"role": role})
    try:
        await others.join(2)
        await claim(others, 2, 64)
        await Daemons(claimer).join(1)
        assert await claim(Daemons(claimer), 1, 64, quiet(2)) == set()
        await ends(other, connection)
        assert await claim(Daemons(claimer), 1, 64, quiet(2)) == ALL
    finally:
        await claimer.close()
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_advisory_locks_do_not_delay_a_takeover(
    connection: Connection, dsn: str, daemons: Daemons, other: Session, others: Daemons
) -> None:
    """Every role that can connect may hold any of them, and wait for any: none has a meaning."""
    await others.join(2)
    await claim(others, 2, 64)
    (process,) = (await other.fetch("SELECT pg_backend_pid()"))[0]
    squatter = Session(dsn, "squatter")
    waiting = Session(dsn, "waiting")
    for key in (1684632432, process, 2):
        await squatter.fetch("SELECT pg_advisory_lock($1::bigint)", key)
        await squatter.fetch("SELECT pg_advisory_lock(1684632432, $1::int)", key)
    queued = asyncio.create_task(waiting.fetch("SELECT pg_advisory_lock(1684632432, 2)"))
    try:
        await rows.until_true(
            connection,
            "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND NOT l.granted AND a.datname = current_database())",
        )
        await ends(other, connection)
        await daemons.join(1)
        assert await claim(daemons, 1, 64, quiet(2)) == ALL
        assert (
            await connection.fetchval(
                "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE l.locktype = 'advisory' AND a.application_name NOT IN ('dispatcher/squatter', 'dispatcher/waiting')"
                " AND a.datname = current_database()"
            )
            == 0
        )
    finally:
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)
        await squatter.close()
        await waiting.close()


async def test_shards_of_a_frozen_daemon_are_free_when_the_lease_is_over_and_it_learns_so(
    daemons: Daemons, others: Daemons
) -> None:
    await others.join(2)
    await claim(others, 2, 64)
    await daemons.join(1)
    assert await claim(daemons, 1, 60, frozen(2)) == set(range(60))
    assert await others.renew(2, 0) is None
    assert await claim(daemons, 1, 60) == {60, 61, 62, 63}


async def test_a_frozen_daemon_that_resumes_in_time_keeps_its_shards(
    daemons: Daemons, others: Daemons
) -> None:
    await others.join(2)
    await claim(others, 2, 64)
    await daemons.join(1)
    renewal = await others.renew(2, 0)
    assert renewal is not None
    assert renewal.shards == ALL
    assert await claim(daemons, 1, 64, frozen(2, renewals=0)) == set()


async def test_a_heartbeat_under_way_is_a_sign_of_life(
    connection: Connection, daemons: Daemons
) -> None:
    """A decision after the request was read could not be in its answer."""
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (2, now() - interval '60 s');"
        "UPDATE dispatcher.shards SET owner = 2"
    )
    await daemons.join(1)
    async with connection.transaction():
        await connection.execute("UPDATE dispatcher.daemons SET renewals = 1 WHERE id = 2")
        async with asyncio.timeout(30):
            assert await claim(daemons, 1, 64, frozen(2)) == set()
    assert await claim(daemons, 1, 64, frozen(2)) == set()


async def test_shards_of_an_unknown_owner_are_free(
    connection: Connection, daemons: Daemons
) -> None:
    await connection.execute("UPDATE dispatcher.shards SET owner = 99")
    await daemons.join(1)
    assert await claim(daemons, 1, 64) == ALL


async def test_a_daemon_does_not_forget_itself_while_claiming(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1)
    await claim(daemons, 1, 10)
    assert await claim(daemons, 1, 64, frozen(1)) == set(range(10, 64))
    assert await daemons.renew(1, 0) is not None


@pytest.fixture
async def sessions(dsn: str) -> AsyncIterator[list[Session]]:
    opened = [Session(dsn, f"claimer {n}") for n in range(4)]
    yield opened
    for claimer in opened:
        await claimer.close()


async def test_concurrent_claims_never_get_the_same_shard(
    connection: Connection, sessions: list[Session]
) -> None:
    numbers = count(1)
    held: dict[int, int] = {}

    async def come_and_go(session: Session) -> None:
        claimer = Daemons(session)
        for turn in range(40):
            daemon = next(numbers)
            await claimer.join(daemon)
            got = await claim(claimer, daemon, 20)
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


async def test_a_daemon_releases_only_its_own_shards_at_once(
    connection: Connection, daemons: Daemons, others: Daemons
) -> None:
    await daemons.join(1)
    await others.join(2)
    await claim(daemons, 1, 32)
    await claim(others, 2, 32)
    await daemons.release_shards(1, [0, 1, 40])
    assert await owned(connection, None) == {0, 1}
    assert await owned(connection, 2) == set(range(32, 64))
    assert await claim(others, 2, 9) == {0, 1}


async def test_leaving_releases_the_shards_and_removes_the_daemon(
    connection: Connection, daemons: Daemons
) -> None:
    await daemons.join(1)
    await claim(daemons, 1, 64)
    await daemons.leave(1)
    assert await owned(connection, None) == ALL
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.daemons") == 0


async def test_dead_daemons_without_shards_are_forgotten(
    connection: Connection, daemons: Daemons
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.daemons (id, renewed_at)
           SELECT n, now() - interval '1 hour' - (2 - n) * interval '1 min' FROM generate_series(1, 3) AS n;
           INSERT INTO dispatcher.daemons (id, renewed_at) VALUES (4, now() - interval '2 hours');
           UPDATE dispatcher.shards SET owner = 4 WHERE shard = 0"""
    )
    await daemons.prune()
    left = await connection.fetch("SELECT id FROM dispatcher.daemons ORDER BY id")
    assert [row["id"] for row in left] == [3, 4]
