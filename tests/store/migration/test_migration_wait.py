"""A command that meets a migration under way waits for it, for a bounded time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from dispatcher.store.migration import migrate, migration_wait
from dispatcher.store.migration.migrator import Migrator
from tests.conftest import connected

Connection: TypeAlias = "asyncpg.Connection[Any]"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int PRIMARY KEY);")
    return tmp_path


@pytest.fixture
async def empty(empty_dsn: str) -> AsyncIterator[Connection]:
    async with connected(empty_dsn) as connection:
        yield connection


async def test_a_session_with_the_process_id_of_a_migrator_that_has_ended_is_not_named(
    empty: Connection, empty_dsn: str
) -> None:
    async with connected(empty_dsn) as other:
        await migrate._make_tables(other)
        assert await Migrator(other).claim()
        assert await Migrator(empty).current() is not None
        await other.execute("UPDATE dispatcher.migrator SET backend_start = '2020-01-01'")
        assert await Migrator(empty).current() is None


async def test_a_check_waits_for_the_session_that_migrates(
    empty: Connection, empty_dsn: str, files: Path
) -> None:
    waits: list[str] = []
    async with connected(empty_dsn) as other, asyncio.timeout(30):
        await migrate._make_tables(other)
        assert await Migrator(other).claim()
        started = asyncio.Event()

        def note(reason: str) -> None:
            waits.append(reason)
            started.set()

        checking = asyncio.create_task(migration_wait.check(empty, on_wait=note, directory=files))
        await started.wait()
        await migrate.migrate(other, directory=files)
        await checking
    (reason,) = waits
    assert "migrates the database" in reason
    assert str(await empty.fetchval("SELECT current_user")) in reason


async def test_a_check_waits_for_a_migration_that_is_about_to_begin(
    empty: Connection, empty_dsn: str, files: Path
) -> None:
    started = asyncio.Event()

    def note(_: str) -> None:
        started.set()

    async with connected(empty_dsn) as other, asyncio.timeout(30):
        checking = asyncio.create_task(
            migration_wait.check(empty, on_wait=note, grace_seconds=60, directory=files)
        )
        await started.wait()
        await migrate.migrate(other, directory=files)
        await checking


async def test_a_check_fails_at_once_if_no_session_migrates(empty: Connection, files: Path) -> None:
    with pytest.raises(migrate.PendingMigrationsError, match="run dispatcher migrate"):
        await migration_wait.check(empty, on_wait=pytest.fail, directory=files)


async def test_a_check_ends_and_names_the_session_that_migrates(
    empty: Connection, empty_dsn: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_wait, "WAIT_LIMIT_SECONDS", 0.0)
    async with connected(empty_dsn) as other:
        await migrate._make_tables(other)
        assert await Migrator(other).claim()
        with pytest.raises(migrate.MigrationLockedError, match="wait until it ends"):
            await migration_wait.check(empty, on_wait=pytest.fail, directory=files)
