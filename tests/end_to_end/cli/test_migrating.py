"""Commands that meet a migration under way wait for its end, and say so."""

import asyncio
import threading
from pathlib import Path

import pytest

from dispatcher.cli import database
from dispatcher.store.migration import migrate
from dispatcher.store.migration.migrator import Migrator
from tests.conftest import connected
from tests.end_to_end.shell import KEY, shell


@pytest.mark.parametrize("command", [("webhook", "list"), ("check",)], ids=" ".join)
async def test_a_command_waits_for_the_session_that_migrates(
    command: tuple[str, ...], empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, reasons = threading.Event(), []

    def note(reason: str) -> None:
        reasons.append(reason)
        waits.set()

    monkeypatch.setattr(database, "_say_wait", note)
    settings = {"database__dsn": empty_dsn, "secrets__key": KEY}
    async with connected(empty_dsn) as migrating, shell(tmp_path, **settings) as dispatcher:
        await migrate._make_tables(migrating)
        assert await Migrator(migrating).claim()
        running = asyncio.create_task(dispatcher(*command))
        assert await asyncio.to_thread(waits.wait, 30)
        await migrate.migrate(migrating)
        ended = await running
    assert (ended.code, len(reasons)) == (0, 1), ended
    assert "migrates the database" in reasons[0]
