"""A daemon told to stop finishes what is under way, says so, and leaves the rest to the next."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientConnectionError, ClientSession

from dispatcher.core.model import ClockSetBack, Delivery
from dispatcher.daemon import daemon as daemon_module
from dispatcher.daemon.daemon import Daemon
from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.encryption.cipher import Cipher
from dispatcher.engine.upkeep import rescheduler
from dispatcher.store.migration.migrate import migrate
from tests.conftest import connected
from tests.end_to_end import inside
from tests.end_to_end.stories import Daemons, Story, configured, numbers
from tests.receivers import HANG, Answer, Receiver
from tests.store import rows
from tests.waiting import until


@pytest.mark.long
async def test_stopping_under_load_again_and_again_sends_nothing_twice_and_loses_nothing(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.01)
    load = asyncio.create_task(_emit(story, 800))
    for n in range(3):
        daemon = await daemons.start()
        await receiver.wait_for(100 * (n + 1))
        await daemons.stop(daemon)
    await daemons.start()
    await load
    await story.ended(DELIVERED=800)
    assert numbers(receiver.requests) == dict.fromkeys(range(800), 1)


async def test_a_drain_finishes_attempts_in_flight_and_starts_none(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url, max_in_flight=3)
    released = asyncio.Event()
    receiver.otherwise = Answer(200, after=released)
    daemon = await daemons.start(delivery={"timeout": "30s"})
    await story.insert(10)
    await receiver.wait_for(3)
    stopping = asyncio.create_task(daemons.stop(daemon))
    await asyncio.sleep(0)  # it drains
    released.set()
    await stopping
    assert len(receiver.requests) == 3
    await story.ended(DELIVERED=3, PENDING=7)


async def test_a_drain_leaves_no_change_notices(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    """It still owns the shards of what is under way, so no other daemon has to know."""
    await story.subscribe(receiver.url, max_in_flight=3)
    released = asyncio.Event()
    receiver.otherwise = Answer(500, after=released)
    daemon = await daemons.start(delivery={"timeout": "30s"})
    await story.insert(3)
    await receiver.wait_for(3)
    stopping = asyncio.create_task(daemons.stop(daemon))
    await until(lambda: not inside.owned(daemon), "it drains")
    released.set()
    await stopping
    tried = "SELECT count(*) FROM dispatcher.deliveries WHERE attempt = 1"
    assert await story.connection.fetchval(tried) == 3
    assert await story.connection.fetchval("SELECT count(*) FROM dispatcher.change_notices") == 0


async def test_a_draining_daemon_is_alive_and_not_ready(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    released = asyncio.Event()
    receiver.otherwise = Answer(200, after=released)
    daemon = await daemons.start(delivery={"timeout": "30s"})
    await story.insert()
    await receiver.wait_for(1)
    async with ClientSession(daemon.admin_address) as client:
        stopping = asyncio.create_task(daemons.stop(daemon))
        await asyncio.sleep(0)
        async with client.get("/readyz") as response:
            assert response.status == 503
            assert (await response.json())["checks"]["running"] is False
        async with client.get("/livez") as response:
            assert response.status == 200
    released.set()
    await stopping
    await story.ended(DELIVERED=1)


async def test_a_drain_ends_after_the_rows_were_moved_of_a_clock_that_was_set_back(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next owner of the shards would not know of the step."""
    monkeypatch.setattr(rescheduler, "ROWS_LIMIT", 1)
    endpoint = (await story.subscribe(receiver.url)).id
    daemon = await daemons.start()
    for _ in range(5):
        await rows.delivery(story.connection, endpoint, attempt=1, due_in=7_200)
    horizon = await story.connection.fetchval(
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
    )
    inside.note_set_back(daemon, ClockSetBack(3_600.0, frozenset({3}), horizon))
    await daemons.stop(daemon)
    late = "SELECT count(*) FROM dispatcher.deliveries WHERE next_at > now() + interval '90 min'"
    assert await story.connection.fetchval(late) == 0
    assert not await story.connection.fetchval("SELECT count(*) FROM dispatcher.daemons")


async def test_stopping_twice_is_stopping_once(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.3)
    daemon = await daemons.start()
    await story.insert()
    await receiver.wait_for(1)
    daemon.stop()
    await asyncio.sleep(0.1)  # it drains
    await daemons.stop(daemon)
    await story.ended(DELIVERED=1)


async def test_forcing_does_not_wait_and_the_next_daemon_sends_it_again(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.answers = [HANG]
    daemon = await daemons.start(delivery={"timeout": "30s"})
    await story.insert()
    await receiver.wait_for(1)
    daemon.force()
    async with asyncio.timeout(20):
        await daemons.stop(daemon)
    await daemons.start()
    await story.ended(DELIVERED=1)
    assert [r.headers["X-Dispatcher-Attempt"] for r in receiver.requests] == ["1", "1"]


async def test_a_drain_waits_for_an_endpoint_with_a_longer_timeout_of_its_own(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "DRAIN_MARGIN_SECONDS", 0.2)
    await story.subscribe(receiver.url, timeout_ms=20_000)
    receiver.otherwise = Answer(200, delay=1.0)
    daemon = await daemons.start(delivery={"timeout": "200ms"})
    await story.insert()
    await receiver.wait_for(1)
    await daemons.stop(daemon)
    await story.ended(DELIVERED=1)


async def test_a_drain_without_a_database_ends(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "DRAIN_MARGIN_SECONDS", 0.2)
    await story.subscribe(receiver.url)
    receiver.answers = [Answer(200, delay=0.2)]
    daemon = await daemons.start(delivery={"timeout": "300ms"})
    await story.insert()
    await receiver.wait_for(1)
    async with story.unreachable():
        await daemons.stop(daemon)
    await daemons.start()
    await story.ended(DELIVERED=1)
    assert numbers(receiver.requests) == {1: 2}


@pytest.mark.long
async def test_results_that_wait_while_a_session_is_lost_in_the_drain_are_written(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.02)
    for n in range(6):
        daemon = await daemons.start()
        await story.insert(200, first=200 * n)
        await receiver.wait_for(len(receiver.requests) + 50)
        stopping = asyncio.create_task(daemons.stop(daemon))
        await asyncio.sleep(0.004 * n)  # another moment of the drain each time
        await story.terminate("record")
        await stopping
    await daemons.start()
    await story.ended(DELIVERED=1_200)
    assert numbers(receiver.requests) == dict.fromkeys(range(1_200), 1)


@pytest.mark.long
async def test_records_of_a_stopped_daemon_survive_a_later_crash_of_the_database(
    directory: Path, binaries: Path | None, cipher: Cipher, receiver: Receiver
) -> None:
    late = {"fsync": "off", "wal_writer_delay": "10000ms"}
    with EmbeddedPostgres(directory, binaries=binaries, settings=late) as server:
        async with connected(server.dsn) as connection:
            await migrate(connection)
            story, daemons = Story(server.dsn, connection, cipher), Daemons(server.dsn, cipher)
            await story.subscribe(receiver.url)
            daemon = await daemons.start()
            await story.insert(5)
            await story.ended(DELIVERED=5)
            await daemons.stop(daemon)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGQUIT)
        await until(lambda: server.pid is None, "it has crashed")
        server.start()
        async with connected(server.dsn) as connection:
            await Story(server.dsn, connection, cipher).ended(DELIVERED=5)


async def test_an_error_in_the_drain_is_raised_and_the_other_steps_are_taken(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    await story.insert(20)
    await receiver.wait_for(20)

    async def broken() -> None:
        raise LookupError("not foreseen")

    monkeypatch.setattr(daemon._engine.health, "drain", broken)
    with pytest.raises(ExceptionGroup) as raised:
        await daemons.stop(daemon)
    assert raised.value.subgroup(LookupError) is not None
    await story.ended(DELIVERED=20)
    assert await story.connection.fetchval("SELECT count(*) FROM dispatcher.daemons") == 0
    assert not await _is_served(daemon)


async def test_a_worker_that_fails_in_the_drain_ends_the_daemon_with_its_error(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.3)
    daemon = await daemons.start()

    def broken(delivery: Delivery, seconds: float | None) -> None:
        raise LookupError("not foreseen")

    await story.insert()
    await receiver.wait_for(1)
    monkeypatch.setattr(daemon._engine.buffer, "finish_attempt", broken)
    with pytest.raises(ExceptionGroup) as raised:
        await daemons.stop(daemon)
    assert raised.value.subgroup(LookupError) is not None
    await story.ended(DELIVERED=1)
    assert not await _is_served(daemon)


async def test_a_stage_that_fails_in_the_drain_ends_the_daemon_with_its_error(
    story: Story, daemons: Daemons, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.subscribe(receiver.url)
    receiver.otherwise = Answer(200, delay=0.3)
    daemon = await daemons.start()

    async def broken(results: object) -> None:
        raise LookupError("not foreseen")

    await story.insert()
    await receiver.wait_for(1)
    monkeypatch.setattr(daemon._engine.recorder, "_write", broken)
    with pytest.raises(ExceptionGroup) as raised:
        await daemons.stop(daemon)
    assert raised.value.subgroup(LookupError) is not None
    assert not await _is_served(daemon)


async def test_a_daemon_that_opened_by_half_is_closed(
    story: Story, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(configured(), story.dsn, cipher)

    async def broken() -> None:
        at = urlsplit(daemon.admin_address)
        _, writer = await asyncio.open_connection(at.hostname, at.port)  # it listens already
        writer.close()
        raise OSError("no more files")

    monkeypatch.setattr(daemon._engine.sender, "open", broken)
    with pytest.raises(OSError, match="no more files"):
        await daemon.run()
    assert not await _is_served(daemon)


async def test_an_error_while_closing_does_not_keep_other_things_open(
    story: Story, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(configured(), story.dsn, cipher)
    closed: list[str] = []
    for name, part in (
        ("sender", daemon._engine.sender),
        ("sessions", daemon._engine.sessions),
    ):
        monkeypatch.setattr(part, "close", partial(_close, part.close, closed, name))
    close_admin = partial(_close, daemon._close_admin, closed, "port")
    monkeypatch.setattr(daemon, "_close_admin", close_admin)

    async def broken() -> None:
        raise OSError("no child process")

    monkeypatch.setattr(daemon._engine.schema_check, "close", broken)
    running = asyncio.create_task(daemon.run())
    async with asyncio.timeout(30):
        await daemon.ready.wait()
    daemon.stop()
    with pytest.raises(OSError, match="no child process"):
        await running
    assert closed == ["sender", "port", "sessions"]


async def _close(close: Callable[[], Awaitable[None]], closed: list[str], name: str) -> None:
    closed.append(name)
    await close()


async def _is_served(daemon: Daemon) -> bool:
    try:
        async with ClientSession(daemon.admin_address) as client, client.get("/livez") as response:
            return response.status == 200
    except (ClientConnectionError, RuntimeError, OSError, IndexError):  # no socket to ask
        return False


async def _emit(story: Story, count: int) -> None:
    for n in range(0, count, 10):
        await story.insert(10, first=n)
        await asyncio.sleep(0.01)  # the pace of a producer
