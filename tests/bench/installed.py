"""Programs from PyPI that only the benchmarks use, each in an environment of its own in build/."""

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build"


def install(name: str, requirements: Path) -> Path | None:
    """Install them into build/`name`, once. Return its directory of programs, None without a network."""
    environment = BUILD / name
    done = environment / "installed"
    pins = requirements.read_text(encoding="ascii")
    if done.exists() and done.read_text(encoding="ascii") == pins:
        return environment / "bin"
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        subprocess.run(
            [*pip, "--disable-pip-version-check", "--requirement", str(requirements)], check=True
        )
    except subprocess.CalledProcessError:
        return None
    done.write_text(pins, encoding="ascii")
    return environment / "bin"
