"""The embedded PostgreSQL server: its data made, started, and stopped with its parent.

For trying things out, for development and for tests; production wants a server of its own.
It listens on a Unix socket in a private directory and nowhere else. It stops when the process
that started it ends, however that ends. Its directory holds:

    pg18/           the data, one directory a major version
    postgres.log    what the server said
    socket/         the socket, unless the path is too long for one
    lock            locked by the process that started the server
    server.lock     locked by the server's own processes, as long as one of them lives
    binaries-…/     a copy of the binaries, if the server's user cannot reach those installed
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import quote

from dispatcher.embedded_postgres import binaries as binaries_module
from dispatcher.embedded_postgres import process
from dispatcher.embedded_postgres.binaries import Account, Binaries, PostgresUnavailable

__all__ = ["EmbeddedPostgres", "PostgresUnavailable", "running"]

DATABASE = "dispatcher"
PORT = 5432
INITIALISE = (
    *("-U", "postgres", "-A", "trust", "-E", "UTF8"),
    *("--no-locale", "--no-sync", "--no-instructions"),
)
INITIALISE_LIMIT = 120.0
START_LIMIT = 120.0
"""Seconds until the server must be ready; recovery after a crash is what takes long."""
PREDECESSOR_LIMIT = 30.0
"""Seconds given to the server of a killed process to finish stopping."""
STOP_LIMITS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""Fast shutdown, then none at all: recovery at the next start, no data lost either way."""
LARGEST_LOG = 8 * 1024 * 1024

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "max_connections": "60",
        "shared_buffers": "32MB",
        "jit": "off",
        "cluster_name": DATABASE,
        # A producer's data may stand in statements and rows, and does not belong into a log.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
)


def running(directory: Path) -> str | None:
    """The DSN of the server that another process runs in `directory`; waits while it starts."""
    directory = directory.resolve()
    deadline = time.monotonic() + START_LIMIT
    while _in_use(directory / "server.lock") and time.monotonic() < deadline:
        for data in directory.glob("pg[0-9]*"):
            lines = _pid_file(data)
            if len(lines) > 7 and lines[7].strip() == "ready":
                return _address(Path(lines[4]))
        time.sleep(0.02)
    return None


class EmbeddedPostgres:
    """A server whose data lives in `directory`, and that lives as long as this process.

    `binaries` is a directory with `initdb` and `postgres`; without it they are looked for.
    `settings` are PostgreSQL's, beside and above SETTINGS. Start it in the main thread, since
    the kernel takes the end of the thread that started a child for the end of its parent.
    """

    def __init__(
        self,
        directory: Path,
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._directory = directory.resolve()
        self._configured = binaries
        self._settings = {**SETTINGS, **settings}
        self._durable = self._settings.get("fsync") != "off"
        self._log = self._directory / "postgres.log"
        self._log_start = 0
        self._locks: list[int] = []
        self._account: Account
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it does not run."""
        return self._server.pid if self._server and self._server.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> str:
        """Blocks until the server answers; its DSN, with the user `postgres` who may do anything.

        A cold start takes half a second, a warm one some hundredths. Raises PostgresUnavailable.
        """
        if self.pid is not None:
            return self.dsn
        self.stop()
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start the embedded PostgreSQL in the main thread")
        try:
            self._start()
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise PostgresUnavailable(f"the embedded PostgreSQL cannot start: {error}") from error
        except BaseException:
            self.stop()
            raise
        return self.dsn

    @property
    def dsn(self) -> str:
        """How asyncpg, psql and all of libpq's drivers connect; the port lest PGPORT decide."""
        if self._socket is None:
            raise RuntimeError("the embedded PostgreSQL is not running")
        return _address(self._socket)

    def stop(self) -> None:
        """Blocks until the server has ended, usually some hundredths of a second; harmless twice."""
        server, self._server = self._server, None
        if server is not None:
            _end(server)
        if self._socket is not None and self._socket.parent != self._directory:
            shutil.rmtree(self._socket, ignore_errors=True)
        self._socket = None
        while self._locks:
            os.close(self._locks.pop())

    def _start(self) -> None:
        binaries = binaries_module.find(self._configured)
        data = self._directory / f"pg{binaries.major}"
        self._account = binaries_module.account(data.stat().st_uid if data.exists() else None)
        self._open_directory()
        self._lock_directory(data)
        self._open_log()
        for unfinished in self._directory.glob("*.new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        binaries = binaries_module.reachable(binaries, self._account, self._directory)
        if data.exists():
            _check_major(data, binaries)
        else:
            self._refuse_other_majors(binaries)
            self._initialise(binaries, data)
        _forget_predecessor(data)
        self._socket = self._socket_directory()
        self._server = self._spawn(binaries, data, self._socket)
        self._await_ready(data)

    def _open_directory(self) -> None:
        # Root's server is another user's process, so the way to its data must be open to it.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        for step in (*reversed(self._directory.parents), self._directory):
            if not step.exists():
                step.mkdir(exist_ok=True)
                step.chmod(mode)
        if closed := binaries_module.barrier(self._directory, self._account):
            raise PostgresUnavailable(
                f"user {self._account.name}, who runs the embedded PostgreSQL, cannot enter"
                f" {closed}: allow it (chmod o+x) or choose another state directory"
            )

    def _lock_directory(self, data: Path) -> None:
        lock = process.lock(self._directory / "lock")
        if lock is None:
            raise PostgresUnavailable(
                f"another process already runs the embedded PostgreSQL in {self._directory}:"
                " stop it, or give this one a state directory or a database.dsn of its own"
            )
        self._locks.append(lock)
        # Started by a process that was killed, a server may still be writing its last checkpoint.
        lock = process.lock(self._directory / "server.lock", PREDECESSOR_LIMIT)
        if lock is None:
            raise PostgresUnavailable(
                f"the server of an earlier process still runs in {data}: end it with"
                f" kill -INT {_pid_file(data)[0]}"
            )
        self._locks.append(lock)

    def _refuse_other_majors(self, binaries: Binaries) -> None:
        """Beginning with an empty database beside an older one would look like losing its data."""
        for data in self._directory.glob("pg[0-9]*"):
            if data.name[2:].isdigit():
                _check_major(data, binaries)

    def _open_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LARGEST_LOG:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._log.touch(mode=0o600)
        self._log_start = self._log.stat().st_size

    def _tail(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").split("\n")
        return " / ".join([line.strip() for line in lines if line.strip()][-4:])[-800:]

    def _initialise(self, binaries: Binaries, data: Path) -> None:
        # A process killed half-way leaves a directory of another name, never half a database.
        fresh = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=self._directory))
        os.chown(fresh, self._account.uid, self._account.gid)
        initdb = binaries.directory / "initdb"
        self._run([initdb, "-D", fresh, *INITIALISE])
        single: list[str | Path] = [binaries.directory / "postgres", "--single", "-F"]
        single += ["--exit_on_error=on"]
        self._run([*single, "-D", fresh, "postgres"], f"CREATE DATABASE {DATABASE}\n".encode())
        if self._durable:
            self._run([initdb, "-D", fresh, "--sync-only"])
        fresh.rename(data)
        if self._durable:
            _sync(self._directory)

    def _run(self, command: Sequence[str | Path], input_: bytes = b"") -> None:
        with self._log.open("ab") as log:
            ended = subprocess.run(  # noqa: S603
                command,
                input=input_,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=INITIALISE_LIMIT,
                check=False,
                **process.options(self._account, self._directory, self._locks[1:]),
            )
        if ended.returncode != 0:
            raise PostgresUnavailable(
                f"PostgreSQL's data could not be made in {self._directory}: {self._tail()}"
            )

    def _socket_directory(self) -> Path:
        socket = self._directory / "socket"
        simple = re.fullmatch(r"[\w./+-]{1,80}", str(socket), re.ASCII)
        if simple:
            shutil.rmtree(socket, ignore_errors=True)
            socket.mkdir(0o700)
        else:
            # The kernel takes 107 bytes for a socket's whole path, PostgreSQL splits at commas.
            socket = Path(tempfile.mkdtemp(prefix="dispatcher-", dir="/tmp"))
        os.chown(socket, self._account.uid, self._account.gid)
        return socket

    def _spawn(self, binaries: Binaries, data: Path, socket: Path) -> subprocess.Popen[bytes]:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        where: list[str | Path] = ["-D", data, "-h", "", "-k", socket, "-p", str(PORT)]
        with self._log.open("ab") as log:
            server = subprocess.Popen(  # noqa: S603
                [binaries.directory / "postgres", *where, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **process.options(self._account, self._directory, self._locks[1:]),
            )
        os.close(self._locks.pop())  # from here on it is the server's alone
        return server

    def _await_ready(self, data: Path) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if self.pid is None:
                raise PostgresUnavailable(f"PostgreSQL ended while starting: {self._tail()}")
            lines = _pid_file(data)
            if len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.01)
        raise PostgresUnavailable(
            f"PostgreSQL was not ready after {START_LIMIT:.0f} seconds: {self._tail()}"
        )


def _address(socket: Path) -> str:
    return f"postgresql://postgres@/{DATABASE}?host={quote(str(socket))}&port={PORT}"


def _in_use(path: Path) -> bool:
    if not path.exists():
        return False
    lock = process.lock(path)
    if lock is not None:
        os.close(lock)
    return lock is None


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end(server: subprocess.Popen[bytes]) -> None:
    for signal_, patience in STOP_LIMITS:
        if server.poll() is None:
            server.send_signal(signal_)
            with suppress(subprocess.TimeoutExpired):
                server.wait(patience)


def _check_major(data: Path, binaries: Binaries) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != str(binaries.major):
        raise PostgresUnavailable(
            f"{data} was made by PostgreSQL {found}, but the one in {binaries.directory} is"
            f" {binaries.version}: use PostgreSQL {found} (database.binaries), or take a dump with"
            " it to carry over, or move that directory away to begin with an empty database"
        )


def _forget_predecessor(data: Path) -> None:
    """Remove the pid file of a server that is gone.

    PostgreSQL itself believes it if any process of the same user has that id by now, as after
    a reboot. That no server of ours lives is known from the lock, so what is left to ask is
    whether somebody started one by hand.
    """
    pid = _pid_file(data)[0]
    if not pid.isdigit() or sys.platform != "linux":
        return
    try:
        directory = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        directory = None
    if directory == data:
        raise PostgresUnavailable(f"a PostgreSQL started by hand, process {pid}, runs in {data}")
    (data / "postmaster.pid").unlink()


def _pid_file(data: Path) -> list[str]:
    """The lines of postmaster.pid: the first is the process id, the eighth its status."""
    try:
        return (data / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return ["?"]
