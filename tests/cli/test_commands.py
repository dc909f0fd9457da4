"""The command line as far as it needs no database: help, usage, and what it says of failures."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import click
import pytest
from click.testing import CliRunner, Result

from dispatcher import __version__, client
from dispatcher.cli import main
from dispatcher.cli.checks import port_check
from dispatcher.cli.commands.emit import Data
from dispatcher.cli.errors import CommandError, MisuseError, explain
from dispatcher.cli.params import Moment, escape_controls
from dispatcher.config.sections import ConfigError
from dispatcher.core.errors import InvalidError, NotFoundError
from dispatcher.embedded_postgres.server import PostgresUnavailableError
from dispatcher.encryption.keyring import KeyRejectedError
from dispatcher.store.errors import (
    PermissionDeniedError,
    StatementTimeoutError,
    StoreUnavailableError,
    TransactionConflictError,
)
from dispatcher.store.migration.migrate import PendingMigrationsError

VERBS = (
    "run",
    "demo",
    "migrate",
    "check",
    "emit",
    "seed",
    "webhook",
    "token",
    "tail",
    "replay",
    "listen",
    "verify",
    "event",
    "delivery",
    "event-type",
    "environment",
    "stats",
    "quarantine",
    "audit",
    "pause",
    "resume",
    "bulk-action",
    "key",
)
WEBHOOK_VERBS = (
    "create",
    "list",
    "get",
    "update",
    "delete",
    "enable",
    "disable",
    "rotate",
    "test",
    "deliveries",
    "recover",
    "recoveries",
    "recovery",
    "cancel-recovery",
)
HEAVY = ("asyncio", "aiohttp", "asyncpg", "pydantic", "structlog", "cryptography", "orjson")

ID = "2e0d8b64-5f1c-4a7e-9d1e-0a4f4be6c7d1"

Dispatcher = Callable[..., Result]


@pytest.fixture
def dispatcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dispatcher:
    """Runs a command in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, env: Mapping[str, str | None] | None = None, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(main, args, env=env, input=stdin, prog_name="dispatcher")

    return run


def test_the_help_names_every_verb_and_exits_with_0(dispatcher: Dispatcher) -> None:
    result = dispatcher("--help")
    assert result.exit_code == 0
    shown = re.findall(r"^  ([\w-]+)  ", result.stdout, re.MULTILINE)
    assert set(VERBS) == set(main.commands) == {name for name in shown if not name.startswith("--")}


def test_check_names_the_file_of_the_configuration(dispatcher: Dispatcher, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[admin]\nport = 0\n")
    env = {"DISPATCHER_CONFIG": None, "STATE_DIRECTORY": str(tmp_path)}
    result = dispatcher("check", env=env)
    assert f"configuration: {tmp_path / 'config.toml'}\n" in result.stdout


def test_a_closed_output_pipe_is_not_reported_as_an_error() -> None:
    command = [sys.executable, "-m", "dispatcher", "verify", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("verb", [*VERBS, *map("webhook {}".format, WEBHOOK_VERBS)])
def test_help_of_every_command_shows_its_usage(dispatcher: Dispatcher, verb: str) -> None:
    result = dispatcher(*verb.split(), "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: dispatcher {verb} ")


def test_the_version_is_the_packages(dispatcher: Dispatcher) -> None:
    assert dispatcher("--version").stdout == f"dispatcher {__version__}\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("delivery retry", "starts the whole retry schedule again"),
        (
            "delivery retry",
            "those of all environments that the token may see, or that the database",
        ),
        (
            "delivery cancel",
            "those of all environments that the token may see, or that the database",
        ),
        ("replay", "those of all environments that the token may see, or that the database has"),
        ("pause", "Without --environment and --all, the environment is env_default"),
        ("resume", "Without --environment and --all, the environment is env_default"),
    ],
)
def test_help_says_where_a_command_works_by_default(
    dispatcher: Dispatcher, command: str, words: str
) -> None:
    assert words in " ".join(dispatcher(*command.split(), "--help").stdout.split())


def test_help_and_version_load_nothing_heavy() -> None:
    code = f"import sys, dispatcher.cli; print(*(set(sys.modules) & set({HEAVY})))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


@pytest.mark.parametrize(
    "args",
    [
        "",
        "nothing",
        "emit",
        "emit a.b --data",
        "emit a.b --data @/nowhere.json",
        "emit a.b --ndjson /dev/null",
        "emit --ndjson /nowhere.ndjson",
        "emit --ndjson /dev/null --idempotency-key k",
        "run --loop twisted",
        "demo --events 0",
        "demo --port 65536",
        "webhook create https://example.com/",
        f"webhook delete {201 * 'x'}",
        f"webhook update {ID}",
        f"webhook update {ID} --more []",
        f"webhook rotate {ID} --overlap soon",
        f"webhook deliveries {ID} --status LOST",
        f"webhook deliveries {ID} --since yesterday",
        f"webhook deliveries {ID} --since 2026-02-26T12:00:00",
        f"webhook deliveries {ID} --since 5m --until 2h",
        f"webhook recover {ID}",
        f"webhook recover {ID} --since 5m --until 2h",
        f"replay {ID}",
        "replay --since 5m --until 2h",
        "delivery list --since 5m --until 2h",
        "delivery retry --since 5m --until 2h",
        "event list --since 5m --until 2h",
        f"tail --webhook {201 * 'x'}",
        "tail --count 0",
        "listen --port 65536",
    ],
)
def test_wrong_usage_exits_with_2_and_answers_on_standard_error(
    dispatcher: Dispatcher, args: str
) -> None:
    result = dispatcher(*args.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.search("Usage: dispatcher|Error: ", result.stderr)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("delivery list --since 1x", "or 2h for two hours ago, not '1x'"),
        ("delivery list --since 0s", "or 2h for two hours ago, not '0s'"),
        ("token create --expires 1x", "must be a duration such as 30s, 12h or 2d, not '1x'"),
        ("token create --expires 0s", "must be a duration longer than 0, not '0s'"),
        (f"webhook rotate {ID} --overlap 8d", "at most 7d, not '8d'"),
    ],
)
def test_a_wrong_time_is_repeated(dispatcher: Dispatcher, command: str, message: str) -> None:
    result = dispatcher(*command.split())
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize("overlap", ["8d", "99999d", f"{10**400}d"])
def test_an_overlap_that_is_too_long_is_told_the_longest(
    dispatcher: Dispatcher, overlap: str
) -> None:
    result = dispatcher("webhook", "rotate", ID, "--overlap", overlap)
    assert result.exit_code == 2
    assert "Invalid value for '--overlap': at most 7d" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        "run",
        "demo --once",
        "migrate",
        "check",
        "emit a.b",
        "webhook list",
        "webhook create https://example.com/ --events *",
        f"webhook delete {ID}",
        "tail",
        "listen",
        "replay --since 1h",
    ],
)
def test_every_command_reports_each_configuration_problem_in_a_line(
    dispatcher: Dispatcher, args: str
) -> None:
    wrong = {
        "DISPATCHER_DATABASE__DSN": "mysql://user:hunter2@example.com/",
        "DISPATCHER_DELIVERY__TIMEOUT": "soon",
        "DISPATCHER_RETRIES__BASE": "1s",
    }
    result = dispatcher(*args.split(), env=wrong)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 3
    assert {line.partition(":")[0] for line in result.stderr.splitlines()} == {
        "database.dsn",
        "delivery.timeout",
        "retries",
    }
    assert "hunter2" not in result.stderr


def test_a_file_that_is_not_there_is_named(dispatcher: Dispatcher) -> None:
    result = dispatcher("--config", "/nowhere.toml", "run")
    assert (result.exit_code, result.stderr) == (2, "/nowhere.toml: No such file or directory\n")


@pytest.mark.parametrize(
    "arguments",
    [
        "--config FILE check",
        "check --config FILE",
        "webhook --config FILE list",
        "webhook list --config FILE",
    ],
)
def test_the_given_configuration_file_is_read(
    dispatcher: Dispatcher, tmp_path: Path, arguments: str
) -> None:
    file = tmp_path / "given.toml"
    file.write_text('[delivery]\ntimeout = "soon"\n')
    result = dispatcher(*arguments.replace("FILE", str(file)).split())
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "delivery.timeout")


# ── data of an event ─────────────────────────────────────────────────────────────────────────────


def converted(value: str) -> str:
    return str(Data().convert(value, None, None))


@pytest.mark.parametrize("text", ['{"a": 1.10}', "{}\r\n", '"\\ud800"', "é", "", "not json at all"])
def test_data_is_kept_as_it_was_given(tmp_path: Path, text: str) -> None:
    file = tmp_path / "data"
    file.write_bytes(text.encode())
    assert converted(text) == text
    assert converted(f"@{file}") == text


def test_data_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b'"\xff"')
    for value in ('"\udcff"', f"@{file}"):
        with pytest.raises(click.BadParameter, match="not UTF-8"):
            converted(value)


# ── times, and what strangers wrote ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text", ["2026-02-26T12:00:00Z", "2026-02-26T12:00:00.000+00:00", "2026-02-26 13:00+01:00"]
)
def test_a_time_with_an_offset_is_read(text: str) -> None:
    assert Moment().convert(text, None, None) == datetime(2026, 2, 26, 12, tzinfo=UTC)


def test_a_duration_is_a_time_that_long_ago() -> None:
    ago = datetime.now(UTC) - Moment().convert("2h", None, None)
    assert abs(ago - timedelta(hours=2)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Jørn → ✓ 日本", "Jørn → ✓ 日本"),
        ("a\tb", "a\tb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\x07", "a\\nb\\r\\x07"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_printed_as_codes(text: str, seen: str) -> None:
    assert escape_controls(text) == seen


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def refusal(sqlstate: str, message: str, **fields: str) -> asyncpg.PostgresError:
    """As the driver raises it."""
    error = asyncpg.PostgresError.new({"C": sqlstate, "M": message, **fields})
    assert isinstance(error, asyncpg.PostgresError)
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConfigError(["a.b: wrong", "c.d: worse"]), MisuseError, "a.b: wrong\nc.d: worse"),
        (InvalidError.field("url", "must be one"), MisuseError, "url: must be one"),
        (NotFoundError("there is no webhook x"), CommandError, "there is no webhook x"),
        (KeyRejectedError("another key"), CommandError, "another key"),
        (PendingMigrationsError("run dispatcher migrate"), CommandError, "run dispatcher migrate"),
        (PostgresUnavailableError("made by 15"), CommandError, "made by 15"),
        (
            client.InvalidError(
                422, "invalid", "…", [{"message": "is wrong", "pointer": "/events/0"}]
            ),
            MisuseError,
            "events.0: is wrong",
        ),
        (
            client.InvalidError(400, "bad", "…", [{"message": "m", "parameter": "limit"}]),
            MisuseError,
            "limit: m",
        ),
        (client.NotFoundError(404, "not_found", "gone"), CommandError, "gone"),
        (
            client.UnauthorizedError(401, "unauthorized", "m"),
            CommandError,
            "The API refuses the token: m",
        ),
        (
            client.ConnectionFailedError("no connection to x", sent=False),
            CommandError,
            "The API does not answer: no connection to x",
        ),
        (StoreUnavailableError("refused"), CommandError, "The database is not available: refused"),
        (TransactionConflictError("a lock"), CommandError, "The database refused: a lock"),
        (PermissionDeniedError("as role x: …"), CommandError, "as role x: …"),
        (
            StatementTimeoutError("canceled"),
            CommandError,
            "The database took longer than database.statement_timeout. Try again, or raise the setting.",
        ),
        (
            PermissionError(13, "Permission denied", "/x/key"),
            CommandError,
            "/x/key: Permission denied",
        ),
        (OSError("no room"), CommandError, "no room"),
        (
            caused(PostgresUnavailableError("cannot start: /x"), PermissionError(13, "no")),
            CommandError,
            "cannot start: /x (database.state_directory says where it keeps its data)",
        ),
        (
            refusal("23514", 'new row … violates check constraint "…"', n="type must be short"),
            CommandError,
            "type must be short",
        ),
        (
            refusal("23514", "data is 9 bytes, the limit is 8", H="Raise it."),
            CommandError,
            "data is 9 bytes, the limit is 8 (Raise it.)",
        ),
        (
            refusal("22P02", "invalid input syntax for type json", D='Token "x" is invalid.'),
            MisuseError,
            'The data is not JSON: Token "x" is invalid.',
        ),
        (
            refusal("42883", "function dispatcher.emit(…) does not exist"),
            CommandError,
            "The database lacks what this version needs. Run dispatcher migrate.",
        ),
        (
            asyncpg.DataError("invalid input for query argument $1: '…'"),
            MisuseError,
            "A value cannot be sent to the database. Is it UTF-8 text?",
        ),
        (asyncpg.ConnectionDoesNotExistError("it is closed"), CommandError, "it is closed"),
        (refusal("42501", "permission denied for x"), CommandError, "permission denied for x"),
        (
            ExceptionGroup(
                "daemon", [OSError("in use"), OSError("in use"), KeyRejectedError("other")]
            ),
            CommandError,
            "in use\nother",
        ),
        (ExceptionGroup("daemon", [ConfigError(["a.b: wrong"])]), MisuseError, "a.b: wrong"),
    ],
)
def test_expected_errors_are_reported_in_a_sentence(
    error: Exception, kind: type[CommandError], message: str
) -> None:
    failure = explain(error)
    assert (type(failure), str(failure)) == (kind, message)


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), TypeError("x"), ExceptionGroup("daemon", [OSError("x"), TypeError("x")])],
)
def test_an_unexpected_error_keeps_its_traceback(error: Exception) -> None:
    assert explain(error) is None


# ── ports ────────────────────────────────────────────────────────────────────────────────────────


def test_a_port_in_use_cannot_be_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert port_check.why_unavailable("127.0.0.1", port) == "Address already in use"
        with pytest.raises(
            CommandError,
            match=f"port {port} cannot be opened on 127.0.0.1: Address .* another admin.port.*`dispatcher check`",
        ):
            port_check.require_free("127.0.0.1", port)
        with pytest.raises(CommandError, match=r"\(0 takes any free one\)\.$"):
            port_check.require_free("127.0.0.1", port, may_be_daemon=False)
    assert port_check.why_unavailable("127.0.0.1", port) is None


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    advice = r"opened on 192\.0\.2\.1: Cannot assign .*\. Set admin\.host to an address of"
    with pytest.raises(CommandError, match=advice):
        port_check.require_free("192.0.2.1", 0)
