"""Migrations on a real server: each file once, in order, whole, and never edited."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from dispatcher.embedded_postgres import binaries as binaries_module
from dispatcher.store import sql_files
from dispatcher.store.migration import migrate
from dispatcher.store.migration.migrate import Applied, Migration
from dispatcher.store.migration.migration_files import FIRST_BEFORE_RELEASE
from dispatcher.store.migration.migrator import Migrator
from tests.conftest import connected
from tests.store import catalog
from tests.store import rows as stored

Connection: TypeAlias = "asyncpg.Connection[Any]"

ONE = "CREATE TABLE one (id int PRIMARY KEY);"
TWO = "CREATE TABLE two (id int); INSERT INTO two VALUES (2);"


@pytest.fixture
async def empty(empty_dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(empty_dsn)
    yield connection
    await connection.close()


def write(directory: Path, **files: str) -> Path:
    """`_0001_one="…"` becomes 0001_one.sql."""
    for name, sql in files.items():
        (directory / f"{name[1:]}.sql").write_text(sql)
    return directory


def names(migrations: list[Migration]) -> list[str]:
    return [migration.file for migration in migrations]


async def tables(connection: Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def recorded(connection: Connection) -> list[int]:
    rows = await connection.fetch("SELECT number FROM dispatcher.migrations ORDER BY number")
    return [row["number"] for row in rows]


# ── applying ────────────────────────────────────────────────────────────────────────────────────


async def test_the_projects_own_migrations_make_a_database_up_to_date(
    connection: Connection,
) -> None:
    await migrate.check(connection)
    assert await migrate.migrate(connection) == []


async def test_pending_files_are_applied_in_order_and_once(
    empty: Connection, tmp_path: Path
) -> None:
    write(tmp_path, _0001_one=ONE, _0002_two=TWO)
    assert names(await migrate.migrate(empty, directory=tmp_path)) == [
        "0001_one.sql",
        "0002_two.sql",
    ]
    assert await migrate.migrate(empty, directory=tmp_path) == []
    write(tmp_path, _0003_three="INSERT INTO one VALUES (3);")
    assert names(await migrate.migrate(empty, directory=tmp_path)) == ["0003_three.sql"]
    assert await empty.fetchval("SELECT array_agg(id) FROM one") == [3]
    await migrate.check(empty, directory=tmp_path)


async def test_eight_migrators_at_once_apply_each_file_once(empty_dsn: str, tmp_path: Path) -> None:
    slow = "CREATE TABLE slow AS SELECT pg_sleep(0.1) IS NULL;"
    write(tmp_path, _0001_one=ONE, _0002_slow=slow, _0003_two=TWO)
    async with asyncpg.create_pool(empty_dsn, min_size=8, max_size=8) as pool:

        async def run() -> list[Migration]:
            async with pool.acquire() as connection:
                return await migrate.migrate(connection, directory=tmp_path)

        results = await asyncio.gather(*(run() for _ in range(8)))
        assert sorted(len(result) for result in results) == [0] * 7 + [3]
        assert await pool.fetchval("SELECT count(*) FROM two") == 1


async def test_a_migrator_waits_without_hindering_a_concurrent_index(
    empty_dsn: str, tmp_path: Path
) -> None:
    write(
        tmp_path,
        _0001_one="CREATE TABLE one AS SELECT generate_series(1, 50000) AS id;",
        _0002_index="-- no-transaction\nCREATE INDEX CONCURRENTLY one_id ON one (id);",
    )
    async with asyncpg.create_pool(empty_dsn, min_size=4, max_size=4) as pool:

        async def run() -> list[Migration]:
            async with pool.acquire() as connection:
                return await migrate.migrate(connection, directory=tmp_path)

        results = await asyncio.wait_for(asyncio.gather(*(run() for _ in range(4))), 20)
    assert sorted(len(result) for result in results) == [0, 0, 0, 2]


async def test_planning_and_checking_change_nothing(empty: Connection, tmp_path: Path) -> None:
    write(tmp_path, _0001_one=ONE)
    assert names(await migrate.migrate(empty, plan=True, directory=tmp_path)) == ["0001_one.sql"]
    with pytest.raises(
        migrate.PendingMigrationsError, match="lacks a migration: run dispatcher migrate"
    ):
        await migrate.check(empty, directory=tmp_path)
    assert await empty.fetchval("SELECT to_regnamespace('dispatcher')") is None
    assert await tables(empty) == set()


async def test_a_file_without_a_transaction_runs_statement_by_statement(
    empty: Connection, tmp_path: Path
) -> None:
    index = """-- no-transaction
        -- a semicolon ; in a comment, and one in a text
        COMMENT ON TABLE one IS 'a;b';
        DROP INDEX CONCURRENTLY IF EXISTS one_id;
        CREATE INDEX CONCURRENTLY one_id ON one (id);
        DO $$ BEGIN PERFORM 1; PERFORM 2; END $$"""
    write(tmp_path, _0001_one=ONE, _0002_index=index)
    assert len(await migrate.migrate(empty, directory=tmp_path)) == 2
    assert await empty.fetchval("SELECT to_regclass('one_id')") == "one_id"
    assert await empty.fetchval("SELECT obj_description('one'::regclass)") == "a;b"


async def test_psql_makes_the_same_schema_of_the_projects_own_files(
    connection: Connection, empty: Connection, empty_dsn: str, binaries: Path | None
) -> None:
    own = str(binaries_module.find(binaries).directory)
    psql = shutil.which("psql", path=own) or shutil.which("psql")
    if psql is None:
        pytest.skip("psql is not installed")
    files = sql_files.root() / "migrations"
    arguments = [f"--file={files / migration.file}" for migration in migrate.read()]
    process = await asyncio.create_subprocess_exec(
        psql, "-Xq", "-v", "ON_ERROR_STOP=1", *arguments, empty_dsn, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert (process.returncode, b"ERROR" in errors) == (0, False), errors
    assert await catalog.describe(empty) == await catalog.describe(connection)


# ── failing ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_failing_file_is_rolled_back_and_earlier_files_stay(
    empty: Connection, tmp_path: Path
) -> None:
    write(tmp_path, _0001_one=ONE, _0002_bad=TWO + "\n\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(
        migrate.FailedMigrationError,
        match=r'0002_bad\.sql, line 3: relation "nowhere" does not exist',
    ):
        await migrate.migrate(empty, directory=tmp_path)
    assert await tables(empty) == {"one"}
    assert await recorded(empty) == [1]
    write(tmp_path, _0002_bad=TWO)
    assert names(await migrate.migrate(empty, directory=tmp_path)) == ["0002_bad.sql"]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 'äöü€',\n\n  nonsense;", r"0001_bad\.sql, line 3: column \"nonsense\""),
        ("-- no-transaction\nSELECT 1;\n\nSELECT\nnonsense;", r"line 5: column \"nonsense\""),
        ("SELECT 1;\nCREATE TABLE x (;", r"line 2: syntax error"),
        ("CREATE TABLE x (i int UNIQUE);\nINSERT INTO x VALUES (1), (1);", r"\(i\)=\(1\)"),
        ("SELECT 1/0;", r"0001_bad\.sql: division by zero"),
        ("DO $$ BEGIN RAISE 'no' USING HINT = 'do this'; END $$;", r"0001_bad\.sql: no; do this"),
    ],
)
async def test_an_error_names_the_file_the_line_and_the_advice(
    empty: Connection, tmp_path: Path, sql: str, message: str
) -> None:
    with pytest.raises(migrate.FailedMigrationError, match=message):
        await migrate.migrate(empty, directory=write(tmp_path, _0001_bad=sql))


async def test_the_lock_is_released_by_a_failure(
    empty: Connection, empty_dsn: str, tmp_path: Path
) -> None:
    write(tmp_path, _0001_bad="nonsense")
    with pytest.raises(migrate.FailedMigrationError):
        await migrate.migrate(empty, directory=tmp_path)
    write(tmp_path, _0001_bad=ONE)
    async with asyncpg.create_pool(empty_dsn, min_size=1) as pool, pool.acquire() as other:
        assert len(await migrate.migrate(other, directory=tmp_path)) == 1


async def test_waiting_for_another_migrator_ends_and_names_it(
    empty: Connection, empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_SECONDS", 0.1)
    write(tmp_path, _0001_one=ONE)
    async with connected(empty_dsn) as other:
        await migrate._make_tables(other)
        assert await Migrator(other).claim()
        with pytest.raises(
            migrate.MigrationLockedError,
            match=rf"pid {other.get_server_pid()} \(.*which migrates",
        ):
            await migrate.migrate(empty, directory=tmp_path)
        assert await tables(empty) == set()
        await Migrator(other).release()
    assert len(await migrate.migrate(empty, directory=tmp_path)) == 1


async def test_the_migration_lock_ends_with_its_session(
    empty: Connection, empty_dsn: str, tmp_path: Path
) -> None:
    async with connected(empty_dsn) as other:
        await migrate._make_tables(other)
        assert await Migrator(other).claim()
        assert not await Migrator(empty).claim()
    write(tmp_path, _0001_one=ONE)
    assert len(await migrate.migrate(empty, directory=tmp_path)) == 1


async def test_locks_that_other_logins_can_take_do_not_block_a_migrator(
    connection: Connection, empty: Connection, empty_dsn: str, tmp_path: Path
) -> None:
    """Advisory locks are open to every role; the table of the turn is not."""
    await connection.execute("SET ROLE dispatcher_producer")
    for table in ("migrations", "migrator"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE dispatcher.{table} IN ACCESS SHARE MODE")
    async with connected(empty_dsn) as squatter:
        for key in (int.from_bytes(b"dispatch"), 0, 1):
            await squatter.execute(f"SELECT pg_advisory_lock({key})")
        assert len(await migrate.migrate(empty, directory=write(tmp_path, _0001_one=ONE))) == 1


async def test_dropping_the_schema_leaves_nothing_and_the_database_can_be_migrated_again(
    empty: Connection,
) -> None:
    applied = await migrate.migrate(empty)
    await empty.execute("DROP SCHEMA dispatcher CASCADE")
    rights = """SELECT count(*) FROM pg_shdepend WHERE refobjid = 'dispatcher_producer'::regrole
        AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    assert await empty.fetchval(rights) == 0  # else an administrator could not drop the role
    assert await migrate.migrate(empty) == applied


async def test_several_roles_may_migrate_an_empty_database_at_once(empty_dsn: str) -> None:
    """The schema and the tables of the record are made by whichever is first."""

    async def run() -> int:
        async with migrate.open_connection(empty_dsn) as connection:
            return len(await migrate.migrate(connection))

    numbers = await asyncio.gather(*(run() for _ in range(6)))
    assert sorted(numbers) == [0] * 5 + [len(migrate.read())]


async def test_a_migration_that_waits_for_a_reader_does_not_block_producers(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives its place in the queue up, again and again, until the reader has gone."""
    monkeypatch.setattr(migrate, "LOCK_PAUSE_SECONDS", 0.01)
    files = migrate.read()
    for file in files:
        (tmp_path / file.file).write_bytes(file.sql.encode())
    change = "ALTER TABLE dispatcher.events ADD COLUMN extra text;"
    (tmp_path / f"{len(files) + 1:04}_extra.sql").write_text(change)
    async with connected(dsn) as reader, connected(dsn) as producer:
        reading = reader.transaction()
        await reading.start()
        await reader.execute("SELECT count(*) FROM dispatcher.events")
        async with migrate.open_connection(dsn) as migrating:
            run = asyncio.create_task(migrate.migrate(migrating, directory=tmp_path))
            for _ in range(2):
                await stored.until_true(
                    reader,
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)",
                    migrating.get_server_pid(),
                )
                # Behind the migration, which is behind the reader; not for longer than one try.
                async with asyncio.timeout(30):
                    await producer.execute("SELECT dispatcher.emit('a', '1')")
            await reading.rollback()
            assert len(await run) == 1


async def test_a_further_migration_is_applied_over_live_data(dsn: str, tmp_path: Path) -> None:
    """It stands beside the project's own files, and rows that wait for a daemon stay."""
    files = migrate.read()
    for file in files:
        (tmp_path / file.file).write_bytes(file.sql.encode())
    change = "ALTER TABLE dispatcher.inbox ADD COLUMN extra text NOT NULL DEFAULT 'none';"
    (tmp_path / f"{len(files) + 1:04}_extra.sql").write_text(change)
    async with migrate.open_connection(dsn) as connection:
        before = await connection.fetchval("SELECT dispatcher.emit('a.b', '1')")
        with pytest.raises(
            migrate.PendingMigrationsError, match="lacks a migration: run dispatcher migrate"
        ):
            await migrate.check(connection, directory=tmp_path)
        assert len(await migrate.migrate(connection, directory=tmp_path)) == 1
        after = await connection.fetchval("SELECT dispatcher.emit('a.b', '2')")
        rows = await connection.fetch(
            "SELECT 'evt_' || i.event_id AS event, i.extra, e.data"
            " FROM dispatcher.inbox i JOIN dispatcher.events e ON e.id = i.event_id ORDER BY i.id"
        )
        assert [tuple(row) for row in rows] == [(before, "none", "1"), (after, "none", "2")]
        with pytest.raises(migrate.NewerDatabaseError, match="install the newer version"):
            await migrate.check(connection)


async def test_a_lock_that_is_not_free_in_time_is_reported_with_its_holder(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_SECONDS", 0.1)
    files = migrate.read()
    for file in files:
        (tmp_path / file.file).write_bytes(file.sql.encode())
    number = f"{len(files) + 1:04}"
    (tmp_path / f"{number}_extra.sql").write_text("ALTER TABLE dispatcher.events ADD extra text;")
    index = "-- no-transaction\nCREATE INDEX CONCURRENTLY extra ON dispatcher.inbox (type);"
    for sql in (None, index):
        if sql:
            (tmp_path / f"{number}_extra.sql").write_text(sql)
        async with connected(dsn) as reader, reader.transaction():
            await reader.execute("LOCK TABLE dispatcher.inbox, dispatcher.events IN SHARE MODE")
            await reader.execute("LOCK TABLE dispatcher.inbox IN EXCLUSIVE MODE")
            async with migrate.open_connection(dsn) as migrating:
                with pytest.raises(
                    migrate.MigrationLockedError,
                    match=rf"{number}_extra.sql .* pid {reader.get_server_pid()} \(",
                ):
                    await migrate.migrate(migrating, directory=tmp_path)
                assert await migrating.fetchval("SHOW lock_timeout") == "500ms"


async def test_a_role_that_did_not_migrate_is_refused_with_the_needed_role(
    maintenance: Connection, dsn: str, empty_dsn: str
) -> None:
    name = f"dispatcher_test_stranger_{secrets.token_hex(4)}"
    await maintenance.execute(f"CREATE ROLE {name} LOGIN")
    try:
        for address, act, advice in (
            (dsn, migrate.check, "database.dsn must name the role that ran dispatcher migrate"),
            (dsn, migrate.migrate, "database.dsn must name the role that ran dispatcher migrate"),
            (empty_dsn, migrate.migrate, "GRANT CREATE ON DATABASE"),
        ):
            async with migrate.open_connection(
                address.replace("postgres@", f"{name}@", 1)
            ) as stranger:
                with pytest.raises(migrate.ForbiddenSchemaError, match=f"role {name}") as refused:
                    await act(stranger)
                assert advice in str(refused.value)
    finally:
        await maintenance.execute(f"DROP ROLE {name}")


# ── refusing ────────────────────────────────────────────────────────────────────────────────────


async def test_an_edited_file_is_refused_before_anything_is_applied(
    empty: Connection, tmp_path: Path
) -> None:
    await migrate.migrate(empty, directory=write(tmp_path, _0001_one=ONE))
    write(tmp_path, _0001_one=ONE + " ", _0002_two=TWO)
    for act in (migrate.migrate, migrate.pending, migrate.check):
        with pytest.raises(
            migrate.EditedMigrationError, match=r"0001_one\.sql is not what was applied"
        ):
            await act(empty, directory=tmp_path)
    assert await tables(empty) == {"one"}


async def test_a_renamed_file_is_refused_by_both_names(empty: Connection, tmp_path: Path) -> None:
    await migrate.migrate(empty, directory=write(tmp_path, _0001_one=ONE))
    (tmp_path / "0001_one.sql").rename(tmp_path / "0001_uno.sql")
    with pytest.raises(migrate.EditedMigrationError, match=r"0001_uno\.sql.*0001_one\.sql"):
        await migrate.migrate(empty, directory=tmp_path)


async def test_a_database_newer_than_the_program_is_refused(
    empty: Connection, tmp_path: Path
) -> None:
    await migrate.migrate(empty, directory=write(tmp_path, _0001_one=ONE, _0002_two=TWO))
    (tmp_path / "0002_two.sql").unlink()
    for act in (migrate.migrate, migrate.check):
        with pytest.raises(migrate.NewerDatabaseError, match=r"0002_two.*knows 1"):
            await act(empty, directory=tmp_path)


async def test_a_database_with_the_migrations_from_before_a_release_is_refused(
    empty: Connection, tmp_path: Path
) -> None:
    names = [FIRST_BEFORE_RELEASE, *(f"file{number}" for number in range(2, 18))]
    for number, name in enumerate(names, start=1):
        (tmp_path / f"{number:04}_{name}.sql").write_text("SELECT 1;")
    await migrate.migrate(empty, directory=tmp_path)
    for act in (migrate.migrate, migrate.pending, migrate.check):
        with pytest.raises(
            migrate.UnusableDatabaseError, match=r"new database.*run dispatcher migrate"
        ):
            await act(empty)
    assert await recorded(empty) == list(range(1, 18))


async def test_a_database_that_is_not_utf8_is_refused(
    maintenance: Connection, server: str, tmp_path: Path
) -> None:
    await maintenance.execute(
        "CREATE DATABASE dispatcher_test_ascii TEMPLATE template0"
        " ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    try:
        connection = await asyncpg.connect(server, database="dispatcher_test_ascii")
        write(tmp_path, _0001_one=ONE)
        for act in (migrate.migrate, migrate.check):
            with pytest.raises(migrate.UnusableDatabaseError, match="SQL_ASCII"):
                await act(connection, directory=tmp_path)
        await connection.close()
    finally:
        await maintenance.execute("DROP DATABASE dispatcher_test_ascii WITH (FORCE)")


# ── deciding, without a database ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["0002_two"], "0002 but not 0001"),
        (["0001_one", "0003_three"], "0003 but not 0002"),
        (["0001_one", "0001_uno"], "0001 twice"),
        (["1_one"], r"1_one\.sql is not named"),
        (["0001-one"], "is not named"),
        (["0001_One"], "is not named"),
    ],
)
def test_files_are_numbered_without_gap_or_repetition(
    tmp_path: Path, files: list[str], message: str
) -> None:
    with pytest.raises(migrate.MigrationFilesError, match=message):
        migrate.read(write(tmp_path, **{f"_{name}": "" for name in files}))


@pytest.mark.parametrize(
    "sql",
    ["BEGIN; SELECT 1;", "SELECT 1; -- so\ncommit;", "/* ; */ ROLLBACK", "START TRANSACTION;"],
)
def test_a_file_that_ends_its_own_transaction_is_refused(tmp_path: Path, sql: str) -> None:
    with pytest.raises(migrate.MigrationFilesError, match=r"0001_own\.sql .* transaction"):
        migrate.decide(migrate.read(write(tmp_path, _0001_own=sql)), [])


def test_other_files_in_the_directory_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    assert names(migrate.read(write(tmp_path, _0001_one=ONE))) == ["0001_one.sql"]


def test_a_record_with_a_gap_is_refused() -> None:
    applied = [Applied(1, "one", "a"), Applied(3, "three", "c")]
    with pytest.raises(migrate.MigrationFilesError, match="the database's migrations have 0003"):
        migrate.decide([], applied)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", []),
        (" -- only a comment; \n /* ; */ ", []),
        ("a;b", ["a;", "b"]),
        ("a;\n-- end", ["a;"]),
        ("'a;b'';';c;", ["'a;b'';';", "c;"]),
        (r"E'a\';b';c;", [r"E'a\';b';", "c;"]),
        ('"a;b";c', ['"a;b";', "c"]),
        ("$$a;b$$;c", ["$$a;b$$;", "c"]),
        ("$x$a;$$;$x$;c", ["$x$a;$$;$x$;", "c"]),
        ("a$b; c$b;", ["a$b;", " c$b;"]),
        ("f($1);g", ["f($1);", "g"]),
    ],
)
def test_scripts_are_split_at_the_semicolons_that_end_statements(
    sql: str, expected: list[str]
) -> None:
    assert [statement for _, statement in migrate.statements(sql)] == expected
