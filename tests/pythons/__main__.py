"""Run tests under other versions of Python: `python -m tests.pythons 3.12 3.13 -- tests/core`.

Each version gets a virtual environment in .venv/pythons, which git ignores, from requirements.lock.
Interpreters are searched for in PATH, among those of pyenv, and by uv if it is installed. Prints a
line a version; exits with 1 if one of them failed, with 2 if one is not installed.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venv" / "pythons"
LOCK = ROOT / "requirements.lock"
VERSIONS = ("3.12", "3.13")
INSTALL = ("install", "--quiet", "--disable-pip-version-check", "--no-deps")
FIND_LIMIT_SECONDS = 30
INSTALL_LIMIT_SECONDS = 600
RUN_LIMIT_SECONDS = 3600


def main(arguments: list[str]) -> int:
    """Return the exit status: 0 if the tests passed under each version."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    versions, tests = arguments[:at] or list(VERSIONS), arguments[at + 1 :]
    paths = {version: interpreter(version) for version in versions}
    if missing := [version for version, path in paths.items() if path is None]:
        print(
            f"Python {', '.join(missing)} is not installed: install it, or leave it out of VERSIONS"
        )
        return 2
    failed = [
        version
        for version, path in paths.items()
        if path is not None and not passes(version, environment(version, path), tests)
    ]
    return 1 if failed else 0


def interpreter(version: str) -> Path | None:
    """Return an interpreter of the version that starts, None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
    if path := shutil.which(f"python{version}"):
        candidates.append(Path(path))
    if uv := shutil.which("uv"):
        candidates.append(Path(output(uv, "python", "find", "--no-python-downloads", version)))
    says = "import sys; print('%d.%d' % sys.version_info[:2])"
    return next(
        (candidate for candidate in candidates if output(candidate, "-c", says) == version), None
    )


def output(program: str | Path, *arguments: str) -> str:
    """Return what a program prints; nothing if it fails or does not exist."""
    try:
        ended = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=FIND_LIMIT_SECONDS,
        )
    except OSError:
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def environment(version: str, python: Path) -> Path:
    """Return the interpreter of a virtual environment with what requirements.lock names."""
    home = CACHE / version
    done, inside = home / "locked", home / "bin" / "python"
    if done.exists() and done.read_bytes() == LOCK.read_bytes():
        return inside
    subprocess.run(
        [python, "-m", "venv", "--clear", home], check=True, timeout=INSTALL_LIMIT_SECONDS
    )
    install = [str(inside), "-m", "pip", *INSTALL]
    locked = [*install, "--require-hashes", "--requirement", str(LOCK)]
    subprocess.run(locked, check=True, timeout=INSTALL_LIMIT_SECONDS)
    editable = [*install, "--no-build-isolation", "--editable", str(ROOT)]
    subprocess.run(editable, check=True, timeout=INSTALL_LIMIT_SECONDS)
    shutil.copy(LOCK, done)
    return inside


def passes(version: str, python: Path, tests: list[str]) -> bool:
    """Return whether the tests pass under this version; print how long they took."""
    began = time.monotonic()
    ended = subprocess.run(
        [python, "-m", "pytest", "-q", *tests], cwd=ROOT, check=False, timeout=RUN_LIMIT_SECONDS
    )
    verdict = "passed" if ended.returncode == 0 else "FAILED"
    print(f"Python {version}: {verdict} after {time.monotonic() - began:.0f} s", flush=True)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
