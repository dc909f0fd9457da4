"""Opening a connection: which host, in what time, with which settings, and why there is none."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography import x509

from dispatcher.config.sections import ConfigError
from dispatcher.store.connection import setup
from dispatcher.store.connection.connect import AddressError, ConnectError, connect
from dispatcher.store.errors import StoreUnavailableError
from dispatcher.store.migration import migrate
from dispatcher.store.session import Session
from tests.certificates import ELSEWHERE, Authority
from tests.network_server import (
    NetworkServer,
    black_hole,
    dsn,
    free_port,
    full_backlog,
    hot_standby,
    needs_pgbouncer,
    network_server,
    pgbouncer,
    tls_proxy,
)

SETTINGS = {"application_name": "dispatcher/test", "jit": "off", "statement_timeout": "7000"}
PASSWORD = "a:b\\c d@e"
NAMED = x509.SubjectAlternativeName([x509.DNSName("db.example")])


@pytest.fixture(scope="module")
def network(open_directory: Path, binaries: Path | None) -> Iterator[NetworkServer]:
    with network_server(open_directory / "network", binaries) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
async def roles(network: NetworkServer) -> None:
    quoted = PASSWORD.replace("'", "''")
    await network.execute(
        f"CREATE ROLE secretive LOGIN PASSWORD E'{quoted.replace(chr(92), chr(92) * 2)}'",
        "CREATE ROLE rejected LOGIN",
        "CREATE ROLE stubborn LOGIN",
        "ALTER ROLE stubborn SET statement_timeout = '1s'",
        "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0",
        "CREATE ROLE locked_out LOGIN",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def opened(address: str, seconds: float = 10) -> "asyncpg.Connection[Any]":
    return await connect(address, settings=SETTINGS, timeout_seconds=seconds)


async def shown(address: str, setting: str) -> str:
    connection = await opened(address)
    try:
        value: str = await connection.fetchval("SELECT current_setting($1)", setting)
        return value
    finally:
        await connection.close()


async def refusal(address: str, seconds: float = 10) -> str:
    with pytest.raises(ConnectError) as refused:
        await opened(address, seconds)
    assert PASSWORD not in str(refused.value)
    return str(refused.value)


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


async def test_settings_win_over_those_of_the_role_and_of_the_address(
    network: NetworkServer,
) -> None:
    address = dsn(network.port, "stubborn", options="-c statement_timeout=2s -c work_mem=5MB")
    assert await shown(address, "statement_timeout") == "7s"
    assert await shown(address, "work_mem") == "5MB"
    assert await shown(address, "jit") == "off"


async def test_a_setting_that_the_server_does_not_know_is_skipped(network: NetworkServer) -> None:
    settings = {**SETTINGS, "not_invented_yet": "1"}
    connection = await connect(dsn(network.port), settings=settings, timeout_seconds=10)
    assert await connection.fetchval("SHOW statement_timeout") == "7s"
    await connection.close()


async def test_a_setting_with_a_wrong_value_is_named(network: NetworkServer) -> None:
    with pytest.raises(ConnectError, match="invalid value for parameter"):
        await connect(dsn(network.port), settings={"work_mem": "much"}, timeout_seconds=10)


def test_servers_before_version_14_are_refused_with_a_sentence() -> None:
    assert "needs 14 or newer" in (setup.too_old(13, 9) or "")
    assert setup.too_old(14, 0) is None


async def test_sockets_notice_that_the_other_machine_is_gone(network: NetworkServer) -> None:
    def option(connection: Any, name: str) -> int:
        value: int = connection.socket.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        return value

    usual = await opened(dsn(network.port))
    chosen = await opened(dsn(network.port, keepalives_idle="7", tcp_user_timeout="9000"))
    assert (option(usual, "TCP_KEEPIDLE"), option(usual, "TCP_USER_TIMEOUT")) == (1, 2000)
    assert (option(chosen, "TCP_KEEPIDLE"), option(chosen, "TCP_USER_TIMEOUT")) == (7, 9000)
    for connection in (usual, chosen):
        await connection.close()


# ── host by host ─────────────────────────────────────────────────────────────────────────────────


async def test_a_silent_first_host_costs_seconds_once_and_the_good_one_is_tried_first_afterwards(
    network: NetworkServer,
) -> None:
    async with black_hole() as silent:
        address = dsn(network.port, host=f"127.0.0.1:{silent.port},127.0.0.1")
        session = Session(address, "failover", statement_timeout=1)
        assert await session.fetch("SELECT 1")
        assert silent.accepted == 1
        session.drop()
        async with migrate.open_connection(address) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert await session.fetch("SELECT 1")
        assert silent.accepted == 1
        await session.close()


async def test_a_host_for_which_no_time_was_left_is_tried_first_the_next_time(
    network: NetworkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.store.connection.connect.SILENT_HOST_SECONDS", 0.3)
    async with black_hole() as silent:
        hosts = f"127.0.0.1:{silent.port},127.0.0.1"
        address = dsn(network.port, host=hosts, application_name="no time left")
        with monkeypatch.context() as limits:
            limits.setattr("dispatcher.store.connection.connect.TIMEOUT_LIMIT_SECONDS", 0.1)
            assert "does not answer" in await refusal(address)
        await (await opened(address)).close()
        assert silent.accepted == 1


async def test_migrate_gets_past_a_silent_host(network: NetworkServer) -> None:
    async with black_hole() as silent:
        address = dsn(network.port, host=f"127.0.0.1:{silent.port},127.0.0.1")
        async with migrate.open_connection(address) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert silent.accepted == 1


@pytest.mark.long
async def test_a_host_that_drops_packets_costs_only_its_own_time_limit(
    network: NetworkServer,
) -> None:
    with full_backlog() as silent:
        address = dsn(network.port, host=f"127.0.0.1:{silent},127.0.0.1", connect_timeout="3")
        began = time.monotonic()
        await (await opened(address, seconds=1)).close()
        assert time.monotonic() - began > 2.9


@pytest.mark.long
async def test_connecting_to_one_silent_host_ends_at_the_time_limit(network: NetworkServer) -> None:
    async with black_hole() as silent:
        assert "does not answer within 3 s" in await refusal(dsn(silent.port), seconds=3)


async def test_the_error_says_why_each_host_failed(network: NetworkServer) -> None:
    closed = free_port()
    message = await refusal(dsn(closed, host=f"no-such-name.invalid:{network.port},127.0.0.1"))
    assert "the name no-such-name.invalid" in message
    assert f"nothing listens on 127.0.0.1 port {closed}" in message


async def test_each_address_of_a_name_is_tried(
    network: NetworkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, network.port)) for address in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    await (await opened(dsn(network.port, host="db.example", sslmode="disable"))).close()


async def test_the_address_in_hostaddr_is_connected_to(network: NetworkServer) -> None:
    address = dsn(network.port, host="no-such-name.invalid", hostaddr="127.0.0.1")
    await (await opened(address)).close()


async def test_a_socket_is_found_by_its_directory(network: NetworkServer) -> None:
    await (await opened(network.superuser)).close()
    words = f"host={network.directory / 'socket'} port={network.port} user=postgres"
    await (await opened(f"{words} dbname=dispatcher")).close()
    missing = f"postgresql://postgres@/dispatcher?host={network.directory}"
    assert "no PostgreSQL listens on the socket" in await refusal(missing)


async def test_a_standby_is_skipped(
    network: NetworkServer, open_directory: Path, binaries: Path | None
) -> None:
    async with hot_standby(open_directory / "standby", binaries) as standby:
        both = dsn(network.port, host=f"127.0.0.1:{standby},127.0.0.1")
        connection = await opened(both)
        assert await connection.fetchval("SELECT pg_is_in_recovery()") is False
        await connection.close()
        assert "the server is a standby" in await refusal(dsn(standby))


async def test_a_read_only_server_is_skipped_if_the_address_asks_for_that(
    network: NetworkServer,
) -> None:
    await network.execute(
        "CREATE ROLE reader LOGIN", "ALTER ROLE reader SET default_transaction_read_only = on"
    )
    await (await opened(dsn(network.port, "reader"))).close()
    asked = dsn(network.port, "reader", target_session_attrs="read-write")
    assert "read-only" in await refusal(asked)


# ── in words ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("user", "password", "database", "sentence"),
    [
        ("secretive", "wrong", "dispatcher", "refuses the password of the user secretive"),
        ("secretive", "", "dispatcher", "neither database.dsn nor a password file has one"),
        ("nobody_known", "", "dispatcher", 'role "nobody_known" does not exist'),
        ("rejected", "", "dispatcher", "pg_hba.conf"),
        ("postgres", "", "missing", "create it with ENCODING 'UTF8'"),
        ("crowded", "", "dispatcher", "has no free connection: too many connections for role"),
        ("locked_out", "", "closed", "GRANT CONNECT ON DATABASE"),
    ],
)
async def test_a_refusal_by_the_server_is_explained(
    network: NetworkServer, user: str, password: str, database: str, sentence: str
) -> None:
    assert sentence in await refusal(dsn(network.port, user, password, database))


async def test_a_server_that_ends_the_connection_while_it_is_opened_is_unavailable(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended(*_: object, **__: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 11")

    monkeypatch.setattr(setup, "prepare", ended)
    session = Session(dsn, "test")
    with pytest.raises(StoreUnavailableError, match="ended the connection"):
        await session.open()
    await session.close()


async def test_a_port_of_another_program_is_reported_as_such() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    assert "is PostgreSQL what listens there?" in await refusal(dsn(port, sslmode="disable"))
    listening.close()


async def test_an_unusable_address_is_a_configuration_error() -> None:
    address = "postgresql://u:hunter2@h/d?channel_binding=require&replication=database&sslmode=x"
    with pytest.raises(AddressError) as wrong:
        await opened(address)
    assert len(wrong.value.problems) == 3
    with pytest.raises(ConfigError, match="channel_binding"):
        async with migrate.open_connection(address):
            pass
    with pytest.raises(StoreUnavailableError) as unavailable:
        await Session(address, "wrong").fetch("SELECT 1")
    assert "hunter2" not in f"{wrong.value} {unavailable.value}"


# ── passwords ────────────────────────────────────────────────────────────────────────────────────


async def test_the_password_file_is_read_with_its_escapes(
    network: NetworkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passwords"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"# ours\n127.0.0.1:1:*:secretive:other\n127.0.0.1:*:*:secretive:{escaped}\n")
    file.chmod(0o600)
    address = dsn(network.port, "secretive")
    await (await opened(f"{address}?passfile={file}")).close()
    monkeypatch.setenv("PGPASSFILE", str(file))
    await (await opened(address)).close()
    file.chmod(0o644)
    assert f"the password file {file} is ignored" in await refusal(address)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
async def test_a_user_without_a_name_or_a_readable_home_connects(
    network: NetworkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".postgresql").mkdir(parents=True)
    home.chmod(0o700)
    monkeypatch.setenv("HOME", str(home))
    os.seteuid(12345)
    try:
        await (await opened(dsn(network.port))).close()
        monkeypatch.delenv("HOME")
        await (await opened(dsn(network.port))).close()
        with pytest.raises(AddressError, match="names no user"):
            await opened(f"postgresql://127.0.0.1:{network.port}/dispatcher")
    finally:
        os.seteuid(0)


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_server_with_a_good_certificate_is_connected_to(
    network: NetworkServer, authority: Authority
) -> None:
    async with tls_proxy(authority.server(), network.port) as proxy:
        root = str(authority.root)
        for mode in ("verify-full", "verify-ca", "require"):
            await (await opened(dsn(proxy.port, sslmode=mode, sslrootcert=root))).close()
        for mode in ("allow", "prefer", "require"):
            await (await opened(dsn(proxy.port, sslmode=mode))).close()
        binding = {"sslmode": "verify-full", "sslrootcert": root, "channel_binding": "require"}
        await (await opened(dsn(proxy.port, **binding))).close()
        proxy.context = authority.server(names=NAMED)
        named = {"hostaddr": "127.0.0.1", "sslmode": "verify-full", "sslrootcert": root}
        await (await opened(dsn(proxy.port, host="db.example", **named))).close()


async def test_each_certificate_problem_has_its_own_message(
    network: NetworkServer, authority: Authority, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    trusting = {"sslmode": "verify-full", "sslrootcert": str(authority.root)}
    async with tls_proxy(authority.server(), network.port) as proxy:
        for context, sentence in (
            (authority.server(from_day=-3, to_day=-1), "it has expired"),
            (authority.server(from_day=1, to_day=3), "not valid yet"),
            (authority.server(names=ELSEWHERE), "it does not name 127.0.0.1"),
            (Authority(stranger).server(), "no authority that is trusted here signed it"),
            (authority.server(self_signed=True), "no authority that is trusted here signed it"),
        ):
            proxy.context = context
            assert sentence in await refusal(dsn(proxy.port, **trusting))
        proxy.context = authority.server()
        system = dsn(proxy.port, sslrootcert="system")
        assert "no authority that is trusted here" in await refusal(system)


async def test_files_that_tls_lacks_are_named(
    network: NetworkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "sslrootcert= names its file" in await refusal(dsn(network.port, sslmode="verify-full"))
    (tmp_path / "not.pem").write_text("nonsense")
    for parameters, sentence in (
        ({"sslrootcert": "/no/such/file"}, "sslrootcert: /no/such/file: No such file"),
        ({"sslrootcert": str(tmp_path / "not.pem")}, "is not a usable PEM file"),
        ({"sslcert": "/no/such/file"}, "sslcert: /no/such/file: No such file"),
        ({"sslcert": str(tmp_path / "not.pem")}, "with the certificate"),
    ):
        message = await refusal(dsn(network.port, sslmode="require", **parameters))
        assert sentence in message


async def test_a_server_without_tls_is_reported_as_such(network: NetworkServer) -> None:
    assert "does not offer TLS, which sslmode=require asks for" in await refusal(
        dsn(network.port, sslmode="require")
    )
    await (await opened(dsn(network.port, sslmode="prefer"))).close()


# ── poolers ──────────────────────────────────────────────────────────────────────────────────────


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_servers_is_refused_in_one_sentence(
    network: NetworkServer, open_directory: Path, mode: str
) -> None:
    async with pgbouncer(open_directory / mode, network.port, mode) as port:
        for _ in range(2):
            message = await refusal(dsn(port))
            assert "a connection pooler in transaction mode" in message
            assert "pool_mode = session" in message


@needs_pgbouncer
async def test_a_busy_pooler_that_alternates_servers_is_refused(
    network: NetworkServer, open_directory: Path
) -> None:
    async with pgbouncer(
        open_directory / "turns", network.port, "transaction", server_round_robin="1"
    ) as port:
        others = [await asyncpg.connect(dsn(port), statement_cache_size=0) for _ in range(3)]
        for other in others:
            await other.execute("BEGIN")
        for other in others:
            await other.execute("COMMIT")
        assert "transaction mode" in await refusal(dsn(port))
        for other in others:
            await other.close()


@needs_pgbouncer
async def test_a_session_pooler_supports_settings_and_notifications(
    network: NetworkServer, open_directory: Path
) -> None:
    async with pgbouncer(open_directory / "sessions", network.port, "session") as port:
        session = Session(dsn(port), "pooled", settings={"synchronous_commit": "off"})
        heard = asyncio.Event()
        assert await session.listen("dispatcher", heard.set)
        rows = await session.fetch("SELECT current_setting('synchronous_commit')")
        assert rows[0][0] == "off"
        await network.execute("NOTIFY dispatcher")
        async with asyncio.timeout(30):
            await heard.wait()
        await session.close()


@needs_pgbouncer
async def test_a_session_pooler_of_size_one_is_accepted(
    network: NetworkServer, open_directory: Path
) -> None:
    async with pgbouncer(
        open_directory / "single", network.port, "session", default_pool_size="1"
    ) as port:
        assert await shown(dsn(port), "statement_timeout") == "7s"
