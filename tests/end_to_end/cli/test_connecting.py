"""What stands between the commands and their database is said before anything starts."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from dispatcher.cli.checks.database_checks import clock_skew
from dispatcher.cli.database import Database, require_connections
from dispatcher.cli.errors import CommandError
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.daemon_sessions import DaemonSessions
from dispatcher.store.queries.server import Room, connections_needed
from tests.certificates import Authority
from tests.conftest import connected
from tests.end_to_end.loaded_process import LoadedProcess
from tests.end_to_end.shell import KEY, Shell, shell
from tests.end_to_end.stories import Daemons, Story, configured
from tests.network_server import (
    NetworkServer,
    dsn,
    needs_pgbouncer,
    network_server,
    pgbouncer,
    tls_proxy,
)
from tests.receivers import Receiver

ROOT = Path(__file__).parents[3]
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def network(open_directory: Path, binaries: Path | None) -> Iterator[NetworkServer]:
    with network_server(open_directory / "network-cli", binaries) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
async def roles(network: NetworkServer) -> None:
    await network.execute(
        "CREATE ROLE owner_role LOGIN CREATEROLE",
        "CREATE ROLE few LOGIN CONNECTION LIMIT 6",
        "CREATE ROLE plain LOGIN",
        "CREATE ROLE producer_role LOGIN",
        "CREATE DATABASE owned OWNER owner_role ENCODING 'UTF8' TEMPLATE template0",
        "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "CREATE DATABASE bare ENCODING 'UTF8' TEMPLATE template0",
    )
    # Of which `check` would warn: until PostgreSQL 14 it is given to all.
    await network.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database="owned")


@pytest.fixture
async def commands(
    network: NetworkServer, tmp_path: Path, loaded: LoadedProcess
) -> AsyncIterator[Shell]:
    """Commands on the database of `owner_role`, migrated."""
    address = dsn(network.port, "owner_role", database="owned")
    async with shell(tmp_path, loaded, database__dsn=address, secrets__key=KEY) as opened:
        migrated = await opened("migrate")
        assert migrated.code == 0, migrated.err
        yield opened


def using(commands: Shell, address: str) -> Shell:
    return commands.setting(database__dsn=address)


# ── rights ───────────────────────────────────────────────────────────────────────────────────────


async def test_check_has_a_line_for_each_thing_that_is_well(commands: Shell) -> None:
    checked = await commands("check")
    assert (checked.code, checked.err) == (0, "")
    for topic in ("database", "encoding", "rights", "schema", "key", "notifications", "clocks"):
        assert re.search(f"^✓ {topic}: ", checked.out, re.MULTILINE), topic
    as_json = json.loads((await commands("check", "--json")).out)
    assert as_json.keys() == {"ok", "problems", "warnings", "notes"}
    assert (as_json["ok"], as_json["problems"], as_json["warnings"]) == (True, [], [])


async def test_missing_rights_of_migrate_are_reported_by_check_and_migrate(
    commands: Shell, network: NetworkServer
) -> None:
    plain = using(commands, dsn(network.port, "plain", database="bare"))
    checked, migrated = await plain.each("check", "migrate")
    assert (checked.code, migrated.code) == (1, 1)
    for ended in (checked, migrated):
        assert "GRANT CREATE ON DATABASE bare TO plain" in ended.err


async def test_a_role_that_did_not_migrate_is_reported_as_such(
    commands: Shell, network: NetworkServer
) -> None:
    plain = using(commands, dsn(network.port, "plain", database="owned"))
    checked, ran = await plain.each("check", "run")
    assert (checked.code, ran.code) == (1, 1)
    assert "the schema dispatcher belongs to the role owner_role" in checked.err
    assert "the role that ran dispatcher migrate" in ran.err


async def test_a_database_of_another_encoding_is_found_before_it_is_migrated(
    commands: Shell, network: NetworkServer
) -> None:
    checked = await using(commands, dsn(network.port, database="latin"))("check")
    assert checked.code == 1
    assert "encoded in LATIN1" in checked.err


async def test_an_ignored_password_file_is_reported(commands: Shell, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("*:*:*:*:p\n")
    file.chmod(0o644)
    careless = Shell(
        commands.directory, {**commands.environ, "PGPASSFILE": str(file)}, commands.loaded
    )
    checked = await careless("check")
    warning = f"the password file {file} is ignored"
    assert (checked.code, checked.err.startswith(f"warning: {warning}")) == (0, True)
    daemon = await careless.start("run")
    await daemon.line(warning)
    await daemon.line('"event":"started"')
    assert await daemon.stop() == 0


# ── connections ──────────────────────────────────────────────────────────────────────────────────


async def test_a_limit_of_connections_is_named_by_check_and_run(
    commands: Shell, network: NetworkServer
) -> None:
    await network.execute("GRANT owner_role TO few")
    few = using(commands, dsn(network.port, "few", database="owned"))
    for ended in await few.each("check", "run"):
        assert ended.code == 1
        assert (
            f"the daemon needs {connections_needed()} connections, and the role few may have 6"
            in ended.err
        )


async def test_a_daemon_opens_as_many_connections_as_the_documents_say(
    dsn: str, connection: asyncpg.Connection, cipher: Cipher, receiver: Receiver
) -> None:
    count = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'dispatcher/%'"
    )
    sessions = DaemonSessions(dsn, statement_timeout=10)
    await asyncio.gather(*(session.fetch("SELECT 1") for session in sessions._all))
    assert await connection.fetchval(count) == connections_needed()
    await sessions.close()
    for file in ("README.md", "docs/connecting.md"):
        assert f"{connections_needed()} connections" in (ROOT / file).read_text()

    story, daemons = Story(dsn, connection, cipher), Daemons(dsn, cipher)
    await story.subscribe(receiver.url)
    await daemons.start()
    await story.insert()
    await receiver.wait_for(1)
    assert await connection.fetchval(count) <= connections_needed()
    await daemons.end()


async def test_run_waits_for_connections_and_ends_with_a_sentence(
    network: NetworkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = connections_needed()
    await network.execute(
        f"CREATE ROLE tight LOGIN CONNECTION LIMIT {needed + 1}", "GRANT owner_role TO tight"
    )
    address = dsn(network.port, "tight", database="owned")
    occupied = [await asyncpg.connect(address) for _ in range(2)]
    waits = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == leave_at:
            await occupied.pop().close()

    monkeypatch.setattr("dispatcher.cli.database.wait", wait)
    leave_at = 0
    with pytest.raises(
        CommandError, match=f"of the {needed + 1} that the role tight may have 2 are"
    ):
        await require_connections(Database(address, ours=False), configured())
    assert len(waits) == 3
    leave_at = len(waits) + 1
    await require_connections(Database(address, ours=False), configured())
    assert len(waits) == 4
    await occupied.pop().close()


def test_room_for_connections_depends_on_limit_and_use() -> None:
    role = Room("role", "app", 20, 8)
    assert role.too_small(14) is None
    assert role.too_full(12) is None
    assert "ALTER ROLE app CONNECTION LIMIT 22 or more" in (role.too_full(14) or "")
    assert "raise max_connections" in (Room("server", "", 10, 0).too_small(14) or "")


# ── poolers ──────────────────────────────────────────────────────────────────────────────────────


@needs_pgbouncer
async def test_every_command_says_that_a_pooler_shares_its_servers(
    commands: Shell, network: NetworkServer, open_directory: Path
) -> None:
    async with pgbouncer(open_directory / "shared", network.port, "transaction") as port:
        pooled = using(commands, dsn(port, database="owned"))
        for ended in await pooled.each("check", "migrate", "run", "emit a.b"):
            assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
            assert "a connection pooler in transaction mode" in ended.err


@needs_pgbouncer
async def test_a_daemon_works_through_a_pooler_that_gives_sessions(
    commands: Shell, network: NetworkServer, open_directory: Path, receiver: Receiver
) -> None:
    async with pgbouncer(open_directory / "given", network.port, "session") as port:
        pooled = using(commands, dsn(port, database="owned"))
        checked = await pooled("check")
        assert (checked.code, checked.err) == (0, "")
        created = await pooled("webhook", "create", receiver.url, "--events", "*", "--json")
        daemon = await pooled.run()
        assert (await pooled("emit", "user.created")).code == 0
        await receiver.wait_for(1)
        assert await daemon.stop() == 0
        await pooled("webhook", "delete", json.loads(created.out)["id"])


@needs_pgbouncer
async def test_producers_emit_through_a_pooler_that_shares_its_servers(
    commands: Shell, network: NetworkServer, open_directory: Path
) -> None:
    await network.execute("GRANT dispatcher_producer TO postgres", database="owned")
    async with pgbouncer(open_directory / "producers", network.port, "transaction") as port:
        producer = await asyncpg.connect(dsn(port, database="owned"), statement_cache_size=0)
        async with producer.transaction():
            await producer.execute("SET LOCAL ROLE dispatcher_producer")
            await producer.execute(
                """INSERT INTO dispatcher.events (type, data) VALUES ('a', '1')"""
            )
            emitted = await producer.fetchval("SELECT dispatcher.emit('a', '1')")
        await producer.close()
    async with connected(dsn(network.port, database="owned")) as connection:
        rows = await connection.fetch("SELECT id FROM dispatcher.events WHERE type = 'a'")
    assert len(rows) == 2
    assert emitted in [f"evt_{row['id']}" for row in rows]


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_tls_error_is_reported_as_such_with_exit_code_1(
    commands: Shell, network: NetworkServer, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path), tmp_path / "stranger"
    stranger.mkdir()
    async with tls_proxy(authority.server(), network.port) as proxy:
        trusting = {"sslmode": "verify-full", "sslrootcert": str(authority.root)}
        address = dsn(proxy.port, "owner_role", database="owned", **trusting)
        assert (await using(commands, address)("check")).code == 0
        proxy.context = Authority(stranger).server()
        for ended in await using(commands, address).each("check", "migrate", "run"):
            assert (ended.code, ended.err.count("\n")) == (1, 1)
            assert "no authority that is trusted here signed it" in ended.err


async def test_a_running_daemon_logs_that_the_certificate_has_expired(
    commands: Shell, network: NetworkServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with tls_proxy(authority.server(), network.port) as proxy:
        trusting = {"sslmode": "verify-full", "sslrootcert": str(authority.root)}
        daemon = await using(
            commands, dsn(proxy.port, "owner_role", database="owned", **trusting)
        ).run()
        proxy.context = authority.server(from_day=-3, to_day=-1)
        await network.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'dispatcher/%'"
        )
        await daemon.line("is not accepted: it has expired")
        proxy.context = authority.server()
        assert await daemon.stop() == 0


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("theirs", "seconds"), [(0.5, 0), (-3, -3), (1, 0), (0, 0), (4, 3)])
def test_check_compares_clocks_with_the_round_trip_subtracted(
    theirs: float, seconds: float
) -> None:
    after = NOW + timedelta(seconds=1)
    assert clock_skew(NOW + timedelta(seconds=theirs), NOW, after) == seconds
