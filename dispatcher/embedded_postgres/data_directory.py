"""The server's data directory: create it, check its version, read its pid file."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatcher.embedded_postgres import process
from dispatcher.embedded_postgres.binaries import Account, Binaries, PostgresUnavailableError
from dispatcher.embedded_postgres.log_file import LogFile

INITDB_OPTIONS = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync",
    "--no-instructions",
)
CREATE_LIMIT_SECONDS = 120.0
"""The longest time for one step of creating the data."""

_STATUS_LINE = 7
"""The index of the line of postmaster.pid that holds the server's status."""


class OtherMajorError(PostgresUnavailableError):
    """The data was created by another major version of PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Creation:
    """The creation of a data directory.

    `parent` is the directory to create it in. `inherited` are descriptors that every child process
    keeps open. `is_durable` is True if the data must survive a crash of the machine.
    """

    parent: Path
    binaries: Binaries
    account: Account
    log: LogFile
    inherited: list[int]
    is_durable: bool

    def create(self, data: Path, database: str) -> None:
        """Create `data` with one database in it. Raise PostgresUnavailableError."""
        # Create the data under another name. Otherwise a killed process leaves half a database.
        fresh = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=self.parent))
        os.chown(fresh, self.account.uid, self.account.gid)
        initdb = self.binaries.directory / "initdb"
        self._run([initdb, "-D", fresh, *INITDB_OPTIONS])
        single: list[str | Path] = [self.binaries.directory / "postgres", "--single", "-F"]
        single += ["--exit_on_error=on", "-D", fresh, "postgres"]
        self._run(single, f"CREATE DATABASE {database}\n".encode())
        if self.is_durable:
            self._run([initdb, "-D", fresh, "--sync-only"])
        fresh.rename(data)
        if self.is_durable:
            _sync(self.parent)

    def _run(self, command: Sequence[str | Path], input_: bytes = b"") -> None:
        with self.log.path.open("ab") as log:
            ended = subprocess.run(  # noqa: S603
                command,
                input=input_,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=CREATE_LIMIT_SECONDS,
                check=False,
                **process.options(self.account, self.parent, self.inherited),
            )
        if ended.returncode != 0:
            raise PostgresUnavailableError(
                f"PostgreSQL's data could not be created in {self.parent}: {self.log.tail()}"
            )


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(parent: Path) -> None:
    """Remove what killed processes have left half created."""
    for unfinished in parent.glob("*.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def _check_major(data: Path, binaries: Binaries) -> None:
    """Raise OtherMajorError if another major version has created `data`."""
    major = (data / "PG_VERSION").read_text().strip()
    if major != str(binaries.major):
        raise OtherMajorError(
            f"{data} was created by PostgreSQL {major}, but the one in {binaries.directory} is"
            f" {binaries.version}: use PostgreSQL {major} (database.binaries), or dump the data"
            " with it and restore the dump, or move that directory away to begin with an empty"
            " database"
        )


def data_of(parent: Path, binaries: Binaries) -> Path:
    """Return the data directory of these binaries in `parent`. It need not exist."""
    return parent / f"pg{binaries.major}"


def refuse_other_majors(parent: Path, binaries: Binaries) -> None:
    """Raise OtherMajorError if these binaries cannot use the data in `parent`.

    Raise it too if there is only data of another major version. Otherwise the server would start
    with an empty database, and the data would look lost.
    """
    own = data_of(parent, binaries)
    for data in [own] if own.exists() else parent.glob("pg[0-9]*"):
        if data.name[2:].isdigit():
            _check_major(data, binaries)


def remove_stale_pid_file(data: Path) -> None:
    """Remove the pid file of a server that has ended. Do nothing on other systems than Linux.

    PostgreSQL trusts that file if any process of the same user has its process id, for example
    after a reboot. The lock shows that no server of ours runs. So only a server that was started by
    hand is left to check for. Raise PostgresUnavailableError if there is one.
    """
    pid = PidFile.read(data).pid
    if not pid.isdigit() or sys.platform != "linux":
        return
    try:
        directory = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        directory = None
    if directory == data:
        raise PostgresUnavailableError(
            f"a PostgreSQL started by hand, process {pid}, runs in {data}"
        )
    (data / "postmaster.pid").unlink()


@dataclass(frozen=True, slots=True)
class PidFile:
    """The content of postmaster.pid.

    `pid` is `?` if there is no such file. `socket_directory` is None until the server is ready.
    """

    pid: str
    socket_directory: Path | None = None

    @classmethod
    def read(cls, data: Path) -> "PidFile":
        """Return the content of the pid file in `data`."""
        try:
            lines = (data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return cls("?")
        is_ready = len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"
        return cls(lines[0], Path(lines[4]) if is_ready else None)
