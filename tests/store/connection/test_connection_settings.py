"""What our connections rely on holds, whatever role, database, server and DSN say."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.store.connection.connection_settings import AFTERWARDS, TABLE, connection_settings
from dispatcher.store.errors import StoreUnavailableError
from dispatcher.store.migration import migrate
from dispatcher.store.session import Session
from tests import hostile_settings
from tests.conftest import SETTINGS as FAST
from tests.conftest import Connection, connected, with_database
from tests.hostile_settings import Owned

LEFT = {
    "default_table_access_method",  # there is no other one to choose
    "client_encoding",  # the driver's own since it connected; never another
}
RELIED_ON = [
    setting
    for setting in (*TABLE, *AFTERWARDS)
    if setting.name not in {"transaction_timeout", "session_replication_role"}
]
"""Without those that not every server knows or not every role may set."""


@pytest.fixture
async def owned(server: str, maintenance: Connection, template: str) -> AsyncIterator[Owned]:
    """An empty database, on a server that has the role dispatcher_producer from the template."""
    assert template
    async with hostile_settings.owned_database(maintenance, server) as made:
        yield made


async def in_force(dsn: str) -> dict[str, str]:
    """The settings of one of the daemon's sessions."""
    session = Session(dsn, "test")
    query = "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name"
    names = [setting.name for setting in RELIED_ON]
    try:
        return {row["name"]: row["value"] for row in await session.fetch(query, names)}
    finally:
        await session.close()


async def ours(dsn: str) -> None:
    """Assert that a session of ours has what the table says."""
    actual = await in_force(dsn)
    expected = {setting.name: setting.value for setting in RELIED_ON}
    units = {"10000": "10s", "5000": "5s"}
    wrong = {
        name: (value, actual[name])
        for name, value in expected.items()
        if actual[name] not in {value, units.get(value)}
    }
    assert wrong == {}


def test_every_setting_is_tested_against_a_hostile_value() -> None:
    names = [setting.name for setting in RELIED_ON]
    assert sorted(names) == sorted(hostile_settings.SETTINGS)
    assert len(names) == len(set(names))
    assert all(setting.reason.endswith(".") for setting in (*TABLE, *AFTERWARDS))
    same = {s.name for s in RELIED_ON if s.value == hostile_settings.SETTINGS[s.name]}
    assert same == {"default_table_access_method"}


def test_an_override_replaces_the_value_however_its_name_is_written() -> None:
    settings = connection_settings("x", {"timezone": "Europe/Berlin", "JIT": "on"})
    assert (settings["timezone"], settings["JIT"]) == ("Europe/Berlin", "on")
    assert not {"TimeZone", "jit"} & set(settings)
    assert settings["application_name"] == "dispatcher/x"


@pytest.mark.parametrize("scope", ["role", "database", "role in database"])
async def test_our_settings_override_those_of_role_and_database(
    maintenance: Connection, owned: Owned, scope: str
) -> None:
    whose = {
        "role": f"ROLE {owned.name}",
        "database": f"DATABASE {owned.name}",
        "role in database": f"ROLE {owned.name} IN DATABASE {owned.name}",
    }[scope]
    await hostile_settings.alter(maintenance, whose)
    async with migrate.open_connection(owned.dsn) as connection:
        assert len(await migrate.migrate(connection)) == len(migrate.read())
    await ours(owned.dsn)


async def test_our_settings_override_those_of_the_address(dsn: str) -> None:
    settings = "search_path=public array_nulls=off default_transaction_isolation=serializable"
    options = " ".join(f"-c {setting}" for setting in settings.split())
    await ours(f"{dsn}&options={quote(options)}")


@pytest.fixture(scope="module")
def hostile_server(open_directory: Path, binaries: Path | None) -> Iterator[str]:
    settings = {**FAST, **{n: v for n, v in hostile_settings.SETTINGS.items() if n not in LEFT}}
    settings["session_replication_role"] = "replica"
    with EmbeddedPostgres(
        open_directory / "hostile", binaries=binaries, settings=settings
    ) as embedded:
        yield embedded.dsn


@pytest.mark.long
async def test_our_settings_override_those_of_the_server(hostile_server: str) -> None:
    async with migrate.open_connection(hostile_server) as connection:
        assert len(await migrate.migrate(connection)) == len(migrate.read())
        assert await connection.fetchval("SHOW session_replication_role") == "origin"
        assert await connection.fetchval("SHOW statement_timeout") == "0"
    await ours(hostile_server)


async def test_settings_of_newer_servers_are_set_on_them(maintenance: Connection, dsn: str) -> None:
    version = maintenance.get_server_version().major
    async with migrate.open_connection(dsn) as connection:
        shown = await connection.fetchval("SELECT current_setting('transaction_timeout', true)")
    assert shown == ("0" if version >= 17 else None)


async def test_an_event_is_not_lost_if_the_role_disables_triggers(
    maintenance: Connection, owned: Owned, server: str
) -> None:
    """A superuser's session corrects it; another role's cannot, and says so instead of starting."""
    await maintenance.execute(f"ALTER DATABASE {owned.name} SET session_replication_role = replica")
    async with migrate.open_connection(with_database(server, owned.name)) as connection:
        assert await connection.fetchval("SHOW session_replication_role") == "origin"
    session = Session(owned.dsn, "test")
    with pytest.raises(StoreUnavailableError, match=r"session_replication_role.* superuser"):
        await session.fetch("SELECT 1")
    await session.close()
    with pytest.raises(StoreUnavailableError, match=r"session_replication_role.* superuser"):
        async with migrate.open_connection(owned.dsn):
            pass


async def test_each_session_sets_its_own_limits(dsn: str) -> None:
    session = Session(dsn, "test", statement_timeout=3.0, settings={"synchronous_commit": "off"})
    shown = await session.fetch(
        """SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
                  current_setting('synchronous_commit'), current_setting('application_name')"""
    )
    assert tuple(shown[0]) == ("3s", "1500ms", "off", "dispatcher/test")
    await session.close()


async def test_a_session_abandons_a_silent_server_after_its_time_limit(dsn: str) -> None:
    heard: list[str] = []
    session = Session(dsn, "test", answer_timeout=30, on_lost=lambda: heard.append("lost"))
    session.on_silent = lambda: heard.append("silent")
    await session.fetch("SELECT 1")
    session._answer_timeout = 0.5
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        await session.fetch("SELECT pg_sleep(9)")
    assert heard == ["lost", "silent"]
    assert not session.is_busy
    await session.close()


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_each_statement_sees_what_was_committed_before_it(
    maintenance: Connection, dsn: str, isolation: str
) -> None:
    name = dsn.split("/")[3].split("?")[0]
    await maintenance.execute(
        f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"
    )
    session = Session(dsn, "test")
    count = "SELECT count(*) FROM dispatcher.environments"
    async with session.transaction() as opened, connected(dsn) as other:
        before = (await opened.fetch(count))[0][0]
        await other.execute("INSERT INTO dispatcher.environments (id, name) VALUES ('env_x', 'x')")
        assert (await opened.fetch(count))[0][0] == before + 1
    await session.close()


async def test_a_producers_own_settings_do_not_change_what_it_emits(
    maintenance: Connection, dsn: str
) -> None:
    emit = "SELECT dispatcher.emit('user.created', $1, idempotency_key => 'k')"
    insert = "INSERT INTO dispatcher.events (type, data) VALUES ($1, '1')"
    async with hostile_settings.login(maintenance) as role:
        await hostile_settings.alter(maintenance, f"ROLE {role}", hostile_settings.PRODUCERS)
        async with connected(dsn.replace("postgres@", f"{role}@", 1)) as producer:
            assert await producer.fetchval("SHOW plpgsql.extra_errors") == "all"
            first = await producer.fetchval(emit, '{"name":"Zoë"}')
            assert await producer.fetchval(emit, "{}") == first
            await producer.execute(insert, "a.b")
            with pytest.raises(asyncpg.CheckViolationError, match="reserved"):
                await producer.execute(insert, "webhook.test")
    async with connected(dsn) as connection:
        rows = await connection.fetch("SELECT type, data::text FROM dispatcher.events ORDER BY id")
        assert [tuple(row) for row in rows] == [("user.created", '{"name":"Zoë"}'), ("a.b", "1")]
        assert await connection.fetchval("SELECT count(*) FROM dispatcher.inbox") == 2
