"""Steps of replays beside changes by people, other daemons, and replays of other environments."""

import asyncio
from datetime import UTC, datetime

import pytest

from dispatcher.engine.bulk import replayer as module
from dispatcher.engine.bulk.replayer import Replayer
from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.queries.replays import Replays
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.queries.test_replays import ENVIRONMENT, LONG_AGO, ended, on_the_way, start

REFUSE_AFTER_A_LOCK = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock(1);
      RAISE EXCEPTION 'not this one';
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON dispatcher.inbox_directed FOR EACH ROW
      EXECUTE FUNCTION refuse()"""

SLOW = """
    CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_sleep(0.5);
      RETURN NEW;
    END $$;
    CREATE TRIGGER linger BEFORE INSERT ON dispatcher.inbox_directed FOR EACH ROW
      EXECUTE FUNCTION linger()"""


async def test_a_step_leaves_out_what_a_person_retries_meanwhile(
    connection: Connection, session: Session, other: Session
) -> None:
    failed = await ended(session, connection, await rows.endpoint(connection, "*"))
    await start(session, failed.endpoint_id)
    async with other.transaction() as person:
        actions = DeliveryActions(person)
        await actions.lock([failed.id])
        assert await actions.enqueue(await actions.find([failed.id], ENVIRONMENT), ENVIRONMENT) == 1
        step = asyncio.create_task(Replayer(session).run_once())
        await rows.any_waits_for_lock(connection)
    await step
    assert await on_the_way(connection) == [(failed.event_id, True, 3)]
    (replay,) = await connection.fetch("SELECT state, made FROM dispatcher.replays")
    assert tuple(replay) == ("DONE", 0)


async def test_a_step_that_can_only_wait_keeps_no_person_waiting(
    connection: Connection, session: Session, other: Session
) -> None:
    failed = await ended(session, connection, await rows.endpoint(connection, "*", active=False))
    await start(session, failed.endpoint_id)
    async with other.transaction() as person:
        await DeliveryActions(person).lock_all()
        await Replayer(session).run_once()
    assert await on_the_way(connection) == []


async def test_a_step_that_keeps_people_waiting_is_made_smaller(
    connection: Connection, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_LIMIT_MS", 50)
    failed = await ended(session, connection, await rows.endpoint(connection, "*"))
    await start(session, failed.endpoint_id)
    await connection.execute(SLOW)
    replayer = Replayer(session)
    for _ in range(4):
        await replayer.run_once()
        assert await on_the_way(connection) == []
    await replayer.run_once()
    assert await on_the_way(connection) == [(failed.event_id, True, 3)]


async def test_a_failure_is_noted_of_the_replay_whose_step_failed(
    connection: Connection, session: Session, other: Session
) -> None:
    held, refused = [
        await start(session, failed.endpoint_id)
        for failed in [
            await ended(session, connection, await rows.endpoint(connection, "*")) for _ in range(2)
        ]
    ]
    await connection.execute(REFUSE_AFTER_A_LOCK)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(1)")
        async with other.transaction() as daemon:
            await daemon.fetch("SELECT 1 FROM dispatcher.replays WHERE id = $1 FOR UPDATE", held)
            step = asyncio.create_task(Replayer(session).run_once())
            await rows.any_waits_for_lock(connection)
    await step
    replay_rows = await connection.fetch("SELECT id, failures FROM dispatcher.replays ORDER BY id")
    assert [tuple(row) for row in replay_rows] == [(held, 0), (refused, 1)]


async def replays(
    session: Session, connection: Connection, environment: str, count: int, *, active: bool = True
) -> None:
    """Replays that are due one after another."""
    await connection.execute(
        "INSERT INTO dispatcher.environments (id, name) VALUES ($1, $1) ON CONFLICT DO NOTHING",
        environment,
    )
    for _ in range(count):
        endpoint = await rows.endpoint(connection, "*", environment=environment, active=active)
        until = datetime.now(UTC)
        assert await Replays(session).start(
            environment, endpoint, since=LONG_AGO, until=until, missed=True, rate=None, total=None
        )


async def let_begin_again(connection: Connection) -> None:
    """Let all replays begin again, and be due in the same order."""
    await connection.execute(
        "UPDATE dispatcher.replays SET state = 'RUNNING', finished_at = NULL, position = 0,"
        " next_at = next_at - interval '1 h'"
    )


async def served(connection: Connection, replayer: Replayer) -> tuple[int, str]:
    """Run a step while all replays are due. Return its replay and the environment of that."""
    await let_begin_again(connection)
    times = "SELECT id, environment_id, next_at FROM dispatcher.replays"
    before = {row["id"]: row["next_at"] for row in await connection.fetch(times)}
    await replayer.run_once()
    ((number, environment),) = [
        (row["id"], row["environment_id"])
        for row in await connection.fetch(times)
        if row["next_at"] != before[row["id"]]
    ]
    return number, environment


@pytest.mark.parametrize("many", ["env_a", "env_z"])
async def test_environments_take_turns_however_many_replays_each_has(
    connection: Connection, session: Session, many: str
) -> None:
    await replays(session, connection, many, 20)
    await replays(session, connection, "env_m", 2)
    replayer = Replayer(session)
    steps = [await served(connection, replayer) for _ in range(8)]
    assert [environment for _, environment in steps].count("env_m") == 4
    assert len({number for number, environment in steps if environment == many}) == 4
    assert len({number for number, environment in steps if environment == "env_m"}) == 2


async def test_replays_that_can_only_wait_take_no_turn_from_others_of_their_environment(
    connection: Connection, session: Session
) -> None:
    await replays(session, connection, "env_a", 5, active=False)
    await replays(session, connection, "env_a", 1)
    await replays(session, connection, "env_m", 1)
    replayer = Replayer(session)
    steps = [await served(connection, replayer) for _ in range(8)]
    assert [environment for _, environment in steps] == [*["env_a"] * 6, "env_m", "env_a"]


async def test_replays_that_can_only_wait_do_not_keep_the_turn(
    connection: Connection, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITS_LIMIT", 3)
    await replays(session, connection, "env_a", 9, active=False)
    await replays(session, connection, "env_m", 1)
    replayer = Replayer(session)
    steps = [await served(connection, replayer) for _ in range(8)]
    assert [environment for _, environment in steps] == [*["env_a"] * 3, "env_m"] * 2


async def test_an_environment_whose_replay_another_daemon_holds_is_passed_over(
    connection: Connection, session: Session
) -> None:
    await replays(session, connection, "env_a", 1)
    await replays(session, connection, "env_m", 1)
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM dispatcher.replays WHERE environment_id = 'env_a' FOR UPDATE"
        )
        await Replayer(session).run_once()
    replay_rows = await connection.fetch(
        "SELECT environment_id FROM dispatcher.replays WHERE state = 'DONE'"
    )
    assert [row["environment_id"] for row in replay_rows] == ["env_m"]
