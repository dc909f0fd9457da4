"""A daemon sends as soon as its engine can. The admin port, which takes longer to load, comes after."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event

import pytest
import structlog
from aiohttp import ClientSession

from dispatcher.daemon import daemon as daemon_module
from dispatcher.daemon.daemon import Daemon
from dispatcher.encryption.cipher import Cipher
from tests.end_to_end.stories import Story, configured
from tests.receivers import Answer, Receiver
from tests.waiting import until

SENDING = "dispatcher.cli.database", "dispatcher.cli.checks.port_check", "dispatcher.daemon.daemon"
"""What `dispatcher run` loads before it sends."""
NOT_FOR_SENDING = "aiohttp", "jinja2", "dispatcher.api.app", "dispatcher.dashboard"


@asynccontextmanager
async def loading(
    story: Story, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Daemon, asyncio.Task[None], Event]]:
    """Run a daemon whose admin port is not loaded until the event is set."""
    loaded, load = Event(), daemon_module._load_admin_server

    def slow() -> object:
        loaded.wait(60)
        return load()

    monkeypatch.setattr(daemon_module, "_load_admin_server", slow)
    daemon = Daemon(configured(), story.dsn, cipher)
    running = asyncio.create_task(daemon.run())
    try:
        yield daemon, running, loaded
    finally:
        loaded.set()
        daemon.stop()
        await running


def test_sending_loads_no_module_of_the_admin_port() -> None:
    code = f"import sys, {', '.join(SENDING)}; print(*(set(sys.modules) & set({NOT_FOR_SENDING})))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


async def test_a_daemon_sends_before_its_admin_port_is_loaded(
    story: Story, receiver: Receiver, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await story.subscribe(receiver.url)
    await story.insert()
    async with loading(story, cipher, monkeypatch) as (daemon, _, loaded):
        await receiver.wait_for(1)
        assert not daemon.ready.is_set()
        async with ClientSession(daemon.admin_address) as client:
            asking = asyncio.create_task(client.get("/livez"))
            await until(lambda: client.connector is not None, "it has connected")
            loaded.set()
            async with await asking as response:
                assert response.status == 200
        await daemon.ready.wait()
        assert daemon.dashboard.login_link("token")


async def test_a_daemon_that_stops_while_its_admin_port_is_loading_never_reports_a_start(
    story: Story, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with loading(story, cipher, monkeypatch) as (daemon, running, _):
        await until(lambda: daemon._engine.lease.is_valid, "its engine runs")
        with pytest.raises(RuntimeError, match="not built yet"):
            _ = daemon.dashboard
        with structlog.testing.capture_logs() as lines:
            daemon.stop()
            await running
        assert not daemon.ready.is_set()
        assert "started" not in [line["event"] for line in lines]
    with pytest.raises(OSError, match="Bad file descriptor"):
        _ = daemon.admin_address


async def test_attempts_in_flight_are_recorded_before_an_admin_port_that_cannot_be_loaded_ends_the_daemon(
    story: Story, receiver: Receiver, cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, loaded = asyncio.Event(), Event()

    def fails() -> None:
        loaded.wait(60)
        raise ImportError("no such module")

    monkeypatch.setattr(daemon_module, "_load_admin_server", fails)
    receiver.answers = [Answer(after=answer)]
    await story.subscribe(receiver.url)
    await story.insert()
    daemon = Daemon(configured(), story.dsn, cipher)
    running = asyncio.create_task(daemon.run())
    await receiver.wait_for(1)
    loaded.set()
    await until(lambda: daemon._stopping.is_set() or running.done(), "it stops")
    answer.set()
    with pytest.raises(ImportError, match="no such module"):
        await running
    assert [attempt["outcome"] for attempt in await story.attempts()] == ["ok"]
