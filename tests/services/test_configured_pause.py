"""`delivery.paused` pauses a database once: not at every start, but in every restored copy."""

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.pauses import ConfiguredPause, Pauses
from dispatcher.store.pool import Pool
from dispatcher.store.session import Session
from tests.conftest import Connection, _database, connected, with_database


async def applied(pool: Pool) -> ConfiguredPause:
    async with pool.transaction() as session:
        return await Pauses(session, Actor("dispatcher")).apply_configured()


async def resume_all(pool: Pool) -> None:
    async with pool.transaction() as session:
        await Pauses(session, Actor("cli:root")).resume(None)


async def all_paused(pool: Pool) -> bool:
    return (await Pauses(pool, Actor("test")).get(None)).paused


@asynccontextmanager
async def pool_of(dsn: str) -> AsyncIterator[Pool]:
    session = Session(dsn, "test")
    try:
        yield Pool([session])
    finally:
        await session.close()


async def test_the_setting_pauses_once_and_a_later_start_says_who_resumed(pool: Pool) -> None:
    first = await applied(pool)
    assert first.applied
    assert await all_paused(pool)
    again = await applied(pool)
    assert (again.applied, again.paused_at) == (False, first.paused_at)

    await resume_all(pool)
    after = await applied(pool)
    assert not await all_paused(pool)
    assert (after.applied, after.paused_at, after.resumed_by) == (False, None, "cli:root")
    assert after.resumed_at is not None


async def test_the_setting_pauses_again_once_a_daemon_ran_without_it(pool: Pool) -> None:
    await applied(pool)
    await resume_all(pool)
    await Pauses(pool, Actor("dispatcher")).forget_configured()
    assert (await applied(pool)).applied
    assert await all_paused(pool)


async def test_a_pause_by_a_person_is_not_changed(pool: Pool) -> None:
    async with pool.transaction() as session:
        paused, _ = await Pauses(session, Actor("cli:root")).pause(None)
    state = await applied(pool)
    assert (state.applied, state.paused_at) == (True, paused.paused_at)


async def test_a_copy_of_the_database_is_paused_although_the_original_was_resumed(
    server: str, maintenance: Connection, template: str
) -> None:
    async with _database(maintenance, template) as original:
        async with pool_of(with_database(server, original)) as pool:
            await applied(pool)
            await resume_all(pool)
            assert not (await applied(pool)).applied
        # Its tables have the same oids: only the database's own is another.
        async with (
            _database(maintenance, original) as copy,
            pool_of(with_database(server, copy)) as copied,
        ):
            assert (await applied(copied)).applied
            assert await all_paused(copied)


def _dump_program(name: str) -> str | None:
    chosen = os.environ.get("DISPATCHER_TEST_BINARIES")
    for directory in (chosen, "/usr/lib/postgresql/15/bin"):
        if directory and (Path(directory) / name).exists():
            return str(Path(directory) / name)
    return shutil.which(name)


async def test_a_dump_restored_into_the_same_database_is_paused(
    server: str, maintenance: Connection, dsn: str, tmp_path: Path
) -> None:
    dump, restore = _dump_program("pg_dump"), _dump_program("pg_restore")
    if dump is None or restore is None:
        pytest.skip("there is no pg_dump")
    file = str(tmp_path / "dump")
    async with pool_of(dsn) as pool:
        await applied(pool)
        await resume_all(pool)
    made = subprocess.run(  # noqa: ASYNC221 - nothing else goes on
        [dump, "-Fc", "-f", file, dsn], capture_output=True, text=True, check=False
    )
    if "server version mismatch" in made.stderr:
        pytest.skip("pg_dump is older than the server")
    assert made.returncode == 0, made.stderr
    async with connected(dsn) as connection:
        await connection.execute("DROP SCHEMA dispatcher CASCADE")
    restored = subprocess.run(  # noqa: ASYNC221
        [restore, "-d", dsn, file], capture_output=True, text=True, check=False
    )
    assert restored.returncode == 0, restored.stderr
    async with pool_of(dsn) as pool:
        assert (await applied(pool)).applied
        assert await all_paused(pool)


async def test_tables_that_were_restored_are_another_database(
    connection: Connection, pool: Pool
) -> None:
    await applied(pool)
    await resume_all(pool)
    await connection.execute(  # as pg_restore --clean does
        "CREATE TABLE dispatcher.restored (LIKE dispatcher.settings INCLUDING ALL);"
        "INSERT INTO dispatcher.restored SELECT * FROM dispatcher.settings;"
        "DROP TABLE dispatcher.settings;"
        "ALTER TABLE dispatcher.restored RENAME TO settings"
    )
    assert (await applied(pool)).applied
    assert await all_paused(pool)


async def test_two_daemons_that_start_together_apply_the_pause_once(dsn: str) -> None:
    async with pool_of(dsn) as one, pool_of(dsn) as other:
        states = await asyncio.gather(applied(one), applied(other))
    assert sorted(state.applied for state in states) == [False, True]


async def test_a_role_that_may_not_read_the_cluster_has_a_name_for_the_database_all_the_same(
    connection: Connection, dsn: str
) -> None:
    role = f"dispatcher_test_{secrets.token_hex(6)}"
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    await connection.execute(
        f"REVOKE EXECUTE ON FUNCTION pg_control_system(), pg_current_wal_lsn() FROM PUBLIC;"
        f" GRANT USAGE ON SCHEMA dispatcher TO {role};"
        f" GRANT EXECUTE ON FUNCTION dispatcher.incarnation() TO {role}"
    )
    await connection.execute(f"SET ROLE {role}")
    named = await connection.fetchval("SELECT dispatcher.incarnation()")
    await connection.execute("RESET ROLE")
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    cluster, timeline, database, settings = named.split("/")
    assert (cluster, timeline) == ("-", "-")
    assert int(database)
    assert int(settings)
