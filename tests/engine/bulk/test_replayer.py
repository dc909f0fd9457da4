"""Steps of replays beside changes by people and beside other daemons."""

import asyncio

import pytest

from dispatcher.engine.bulk import replayer as module
from dispatcher.engine.bulk.replayer import Replayer
from dispatcher.store.queries.delivery_actions import DeliveryActions
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows
from tests.store.queries.test_replays import ENVIRONMENT, ended, on_the_way, start

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
    found = await connection.fetch("SELECT id, failures FROM dispatcher.replays ORDER BY id")
    assert [tuple(row) for row in found] == [(held, 0), (refused, 1)]
