"""The embedded PostgreSQL server: create its data, start it, and stop it with its parent.

It is for a first try, development and tests; in production use a separate server. It listens only
on a Unix socket in a private directory. It stops when the process that started it ends, also after
a crash. Its directory holds:

    pg18/           the data, one directory a major version
    postgres.log    the server's log
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
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import quote

from dispatcher.embedded_postgres import binaries as binaries_module
from dispatcher.embedded_postgres import process
from dispatcher.embedded_postgres.binaries import Account, Binaries, PostgresUnavailableError
from dispatcher.embedded_postgres.data_directory import (
    Creation,
    OtherMajorError,
    PidFile,
    data_of,
    refuse_other_majors,
    remove_stale_pid_file,
    remove_unfinished,
)
from dispatcher.embedded_postgres.log_file import LogFile

__all__ = ["EmbeddedPostgres", "OtherMajorError", "PostgresUnavailableError", "running"]

DATABASE = "dispatcher"
PORT = 5432
START_LIMIT_SECONDS = 120.0
"""Seconds until the server must be ready; recovery after a crash takes longest."""
PREDECESSOR_LIMIT_SECONDS = 30.0
"""Seconds for the server of a killed process to finish its shutdown."""
POLL_SECONDS = 0.01
"""How often to look whether a server is ready."""
STOP_LIMITS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""Seconds to wait after each signal: fast shutdown first. The others lose no data either, but the
next start has to recover.
"""
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "max_connections": "60",
        "shared_buffers": "32MB",
        "jit": "off",
        "cluster_name": DATABASE,
        # Statements and rows may contain a producer's data, which must not get into a log.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
)


def running(directory: Path) -> str | None:
    """Return the DSN of the server that another process runs in `directory`.

    Wait while that server starts. Return None if there is none, or if it does not get ready in
    time.
    """
    directory = directory.resolve()
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while _in_use(directory / "server.lock") and time.monotonic() < deadline:
        for data in directory.glob("pg[0-9]*"):
            if socket := PidFile.read(data).socket_directory:
                return _address(socket)
        time.sleep(POLL_SECONDS)
    return None


class EmbeddedPostgres:
    """A server with its data in `directory`, which runs as long as this process.

    `binaries` is a directory with `initdb` and `postgres`; without it they are searched for.
    `settings` are PostgreSQL settings, which override SETTINGS. Start the server in the main
    thread: for the kernel, the end of the thread that started a child is the end of its parent.
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
        self._log = LogFile(self._directory / "postgres.log")
        self._locks: list[int] = []
        self._account: Account
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None

    @property
    def pid(self) -> int | None:
        """Return the server's process id, None if it does not run."""
        return self._server.pid if self._server and self._server.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> str:
        """Start the server, block until it answers, and return its DSN.

        The DSN's user is `postgres`, a superuser. The first start takes half a second, later ones
        some hundredths of a second. Raise PostgresUnavailableError.
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
            raise PostgresUnavailableError(
                f"the embedded PostgreSQL cannot start: {error}"
            ) from error
        except BaseException:
            self.stop()
            raise
        return self.dsn

    @property
    def dsn(self) -> str:
        """Return the DSN for asyncpg, psql and all drivers that use libpq.

        It contains the port. Otherwise PGPORT would decide.
        """
        if self._socket is None:
            raise RuntimeError("the embedded PostgreSQL is not running")
        return _address(self._socket)

    def stop(self) -> None:
        """Stop the server and block until it has ended, usually some hundredths of a second.

        A second call does nothing.
        """
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
        data = data_of(self._directory, binaries)
        self._account = binaries_module.account(data.stat().st_uid if data.exists() else None)
        self._open_directory()
        self._lock_directory(data)
        self._log.open()
        remove_unfinished(self._directory)
        binaries = binaries_module.reachable(binaries, self._account, self._directory)
        refuse_other_majors(self._directory, binaries)
        if not data.exists():
            self._creation(binaries).create(data, DATABASE)
        remove_stale_pid_file(data)
        self._socket = self._socket_directory()
        self._server = self._spawn(binaries, data, self._socket)
        self._await_ready(data)

    def _open_directory(self) -> None:
        # Root's server runs as another user, which must be able to enter the directories.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        for step in (*reversed(self._directory.parents), self._directory):
            if not step.exists():
                step.mkdir(exist_ok=True)
                step.chmod(mode)
        if closed := binaries_module.barrier(self._directory, self._account):
            raise PostgresUnavailableError(
                f"user {self._account.name} runs the embedded PostgreSQL and cannot enter"
                f" {closed}: allow it (chmod o+x) or choose another state directory"
            )

    def _lock_directory(self, data: Path) -> None:
        lock = process.lock(self._directory / "lock")
        if lock is None:
            raise PostgresUnavailableError(
                f"another process already runs the embedded PostgreSQL in {self._directory}:"
                " stop it, or give this one a state directory or a database.dsn of its own"
            )
        self._locks.append(lock)
        # If its parent was killed, the previous server may still be writing its last checkpoint.
        lock = process.lock(self._directory / "server.lock", PREDECESSOR_LIMIT_SECONDS)
        if lock is None:
            raise PostgresUnavailableError(
                f"the server of an earlier process still runs in {data}: end it with"
                f" kill -INT {PidFile.read(data).pid}"
            )
        self._locks.append(lock)

    def _creation(self, binaries: Binaries) -> Creation:
        return Creation(
            self._directory,
            binaries,
            self._account,
            self._log,
            self._locks[1:],
            is_durable=self._settings.get("fsync") != "off",
        )

    def _socket_directory(self) -> Path:
        socket = self._directory / "socket"
        simple = re.fullmatch(r"[\w./+-]{1,80}", str(socket), re.ASCII)
        if simple:
            shutil.rmtree(socket, ignore_errors=True)
            socket.mkdir(0o700)
        else:
            # A socket's path has at most 107 bytes, and PostgreSQL splits the path at commas.
            socket = Path(tempfile.mkdtemp(prefix="dispatcher-", dir="/tmp"))
        os.chown(socket, self._account.uid, self._account.gid)
        return socket

    def _spawn(self, binaries: Binaries, data: Path, socket: Path) -> subprocess.Popen[bytes]:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        where: list[str | Path] = ["-D", data, "-h", "", "-k", socket, "-p", str(PORT)]
        with self._log.path.open("ab") as log:
            server = subprocess.Popen(  # noqa: S603
                [binaries.directory / "postgres", *where, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **process.options(self._account, self._directory, self._locks[1:]),
            )
        os.close(self._locks.pop())  # now only the server holds this lock
        return server

    def _await_ready(self, data: Path) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while time.monotonic() < deadline:
            if self.pid is None:
                raise PostgresUnavailableError(
                    f"PostgreSQL ended while starting: {self._log.tail()}"
                )
            file = PidFile.read(data)
            if file.pid == str(self.pid) and file.socket_directory:
                return
            time.sleep(POLL_SECONDS)
        raise PostgresUnavailableError(
            f"PostgreSQL was not ready after {START_LIMIT_SECONDS:.0f} seconds: {self._log.tail()}"
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


def _end(server: subprocess.Popen[bytes]) -> None:
    for signal_, timeout in STOP_LIMITS:
        if server.poll() is None:
            server.send_signal(signal_)
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout)
