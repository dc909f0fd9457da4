"""The image: what it takes, as whom it runs, and what it leaves out. It is read here, and not built."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dispatcher.api.port.hosts import HEALTH
from dispatcher.cli import main
from dispatcher.config.loading import load

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, in order, on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


INSTRUCTIONS = instructions()
LAST_STAGE = INSTRUCTIONS[
    max(n for n, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") + 1 :
]


def only(word: str) -> str:
    (arguments,) = [arguments for instruction, arguments in LAST_STAGE if instruction == word]
    return arguments


def variables() -> dict[str, str]:
    return dict(assignment.split("=", 1) for assignment in shlex.split(only("ENV")))


def test_both_stages_have_one_base_whose_python_is_tested() -> None:
    assert [instruction for instruction in INSTRUCTIONS if instruction[0] == "FROM"] == [
        ("FROM", "${BASE} AS build"),
        ("FROM", "${BASE}"),
    ]
    assert INSTRUCTIONS[0][0] == "ARG"
    base = re.fullmatch(r"BASE=python:(3\.\d+)-slim", INSTRUCTIONS[0][1])
    assert base is not None
    assert f"Programming Language :: Python :: {base[1]}" in PROJECT["classifiers"]


def test_packages_are_installed_by_their_hashes_and_nothing_is_fetched_otherwise() -> None:
    runs = [command for word, text in INSTRUCTIONS if word == "RUN" for command in text.split("&&")]
    installs = [command for command in runs if "pip install" in command]
    locked, wheel = installs
    for flag in ("--no-deps", "--require-hashes", "--only-binary :all:"):
        assert flag in locked
    assert "--no-deps --no-index /build/dispatcher-*.whl" in wheel
    assert not [command for command in runs if re.search(r"curl|wget|apt|http", command)]
    assert "ADD" not in dict(INSTRUCTIONS)


def test_the_build_sees_only_the_files_that_are_copied() -> None:
    ignored, *allowed = (ROOT / ".containerignore").read_text().split()
    assert ignored == "*"
    copied = [text.split()[:-1] for word, text in INSTRUCTIONS if word == "COPY"]
    assert copied == [
        [pattern.removeprefix("!") for pattern in allowed],
        ["--from=build", "/opt/dispatcher"],
    ]
    assert (ROOT / copied[0][0]).is_file()
    assert fnmatch("dist/dispatcher-0.1.0-py3-none-any.whl", copied[0][1])
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


def test_the_container_runs_as_a_user_without_a_name_or_rights() -> None:
    user, group = only("USER").split(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert [word for word, _ in LAST_STAGE if word == "RUN"] == ["RUN"]  # /run/secrets alone
    assert only("RUN") == f"mkdir -p {variables()['CREDENTIALS_DIRECTORY']}"


def test_the_container_starts_the_daemon_without_a_shell() -> None:
    (name,) = PROJECT["scripts"]
    assert json.loads(only("ENTRYPOINT")) == [name]
    (command,) = json.loads(only("CMD"))
    assert command in main.commands
    assert only("STOPSIGNAL") == "SIGTERM"


def test_its_settings_are_valid_and_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "database.dsn").write_text("postgresql://a@db.example/b\n")
    (tmp_path / "secrets.key").write_text("00" * 32)
    for file in tmp_path.iterdir():
        file.chmod(0o444)  # as containers mount them
    config = load(environ={**variables(), "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (config.admin.host, config.admin.port) == ("0.0.0.0", int(only("EXPOSE")))  # noqa: S104 - in a container
    assert config.secrets.key is not None
    assert config.database.dsn is not None


def test_the_container_is_healthy_while_the_daemon_is_alive() -> None:
    timing, command = only("HEALTHCHECK").split(" CMD ")
    python, flag, code = json.loads(command)
    assert (python, flag) == ("python", "-c")
    address = re.search(r"\('127\.0\.0\.1', (\d+), .*'(/\w+)'", code)
    assert address is not None
    assert address[1] == only("EXPOSE")
    assert address[2] in HEALTH
    patience = re.search(r"timeout=(\d+)", code)
    limit = re.search(r"--timeout=(\d+)s", timing)
    assert patience is not None
    assert limit is not None
    assert int(patience[1]) < int(limit[1])


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (503, False)])
def test_its_health_check_asks_the_daemon_also_where_a_proxy_is_set(
    status: int, is_healthy: bool
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    _, _, code = json.loads(only("HEALTHCHECK").split(" CMD ")[1])
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        code = code.replace(only("EXPOSE"), str(server.server_port))
        checked = subprocess.run([sys.executable, "-c", code], env=proxy, check=False)
        server.shutdown()
        thread.join()
    assert (checked.returncode == 0) == is_healthy


@pytest.mark.parametrize("document", ["README.md", "RELEASING.md", "docs/installing.md"])
def test_the_documents_name_the_containerfile(document: str) -> None:
    assert "Containerfile" in (ROOT / document).read_text()
