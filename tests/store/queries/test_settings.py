"""The one row of settings."""

import asyncio

import asyncpg
import pytest

from dispatcher.store.queries.settings import SettingChange, Settings, StoredSettings
from dispatcher.store.session import Session
from tests.conftest import Connection


async def test_a_new_database_allows_256_kib_and_belongs_to_no_key(session: Session) -> None:
    assert await Settings(session).read() == StoredSettings(262_144, None)


async def test_limits_are_written_and_read(connection: Connection, session: Session) -> None:
    settings = Settings(session)
    assert await settings.write_limits(1000) == [SettingChange("delivery.max_data", 262_144, 1000)]
    assert (await settings.read()).max_data == 1000
    version = await connection.fetchval("SELECT xmin::text FROM dispatcher.settings")
    assert await settings.write_limits(1000) == []
    assert await connection.fetchval("SELECT xmin::text FROM dispatcher.settings") == version
    assert await settings.write_limits(1001, notify=False) == [
        SettingChange("delivery.max_data", 1000, 1001),
        SettingChange("database.notify", True, False),
    ]


@pytest.mark.parametrize("limit", [0, -1, 8 * 2**20 + 1])
async def test_limits_beyond_the_hard_one_are_refused(session: Session, limit: int) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await Settings(session).write_limits(limit)


async def test_the_first_key_stays_that_of_the_database(session: Session) -> None:
    settings = Settings(session)
    assert await settings.claim_key(b"first") == b"first"
    assert await settings.claim_key(b"second") == b"first"
    assert (await settings.read()).key_check == b"first"


async def test_two_processes_that_claim_at_once_get_the_same_key(
    session: Session, other: Session
) -> None:
    answers = await asyncio.gather(
        Settings(session).claim_key(b"one"), Settings(other).claim_key(b"two")
    )
    assert len(set(answers)) == 1


async def test_the_settings_always_have_one_row(connection: Connection) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO dispatcher.settings DEFAULT VALUES")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("INSERT INTO dispatcher.settings (only_row) VALUES (false)")
