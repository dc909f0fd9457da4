import itertools
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr, ValidationError

from dispatcher.config import loading as config_module
from dispatcher.config.loading import load
from dispatcher.config.sections import Config, ConfigError
from dispatcher.core.model import RetryPolicy
from dispatcher.core.signing import HeaderNames, SchemeName

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SECRET = "hunter2-not-to-be-seen"


@pytest.fixture(autouse=True)
def _no_file_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config_module, "SYSTEM_FILE", tmp_path / "etc.toml")


def from_toml(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file = tmp_path / "given.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ=environ or {})


def problems(overrides: dict[str, object], environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(environ=environ or {}, overrides=overrides)
    return str(raised.value).splitlines()


def keys_of_the_model() -> set[str]:
    return {f"{section}.{key}" for section, value in Config() for key in type(value).model_fields}


# ── the example ──────────────────────────────────────────────────────────────────────────────────


def test_the_example_says_every_default() -> None:
    assert load(EXAMPLE, environ={}) == Config() == load(environ={})


def test_the_example_misses_no_key() -> None:
    sections = tomllib.loads(EXAMPLE.read_text())
    written = {f"{section}.{key}" for section, keys in sections.items() for key in keys}
    assert written == keys_of_the_model()


def test_every_key_of_the_example_is_explained_on_the_line_above() -> None:
    lines = EXAMPLE.read_text().splitlines()
    bare = [
        line
        for above, line in itertools.pairwise(lines)
        if re.match(r"\w+ = ", line) and not above.startswith("# ")
    ]
    assert bare == []


# ── where values come from ───────────────────────────────────────────────────────────────────────


def test_an_override_beats_the_environment_beats_a_credential_beats_the_file(
    tmp_path: Path,
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for key in ("port", "host"):
        (credentials / f"admin.{key}").write_text({"port": "2", "host": "credential"}[key])
    (credentials / "log.level").write_text("error")
    file = tmp_path / "given.toml"
    file.write_text("[admin]\nport = 1\nhost = 'file'\n[log]\nlevel='debug'\nformat='json'\n")
    config = load(
        file,
        environ={
            "CREDENTIALS_DIRECTORY": str(credentials),
            "DISPATCHER_ADMIN__PORT": "3",
            "DISPATCHER_ADMIN__HOST": "environment",
        },
        overrides={"admin": {"port": 4}},
    )
    assert (config.admin.port, config.admin.host) == (4, "environment")
    assert (config.log.level, config.log.format) == ("error", "json")


@pytest.mark.parametrize("name", ["database.dsn", "database_dsn", "database__dsn"])
def test_a_credential_is_found_under_each_of_its_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("postgresql://app:pw@db/app\n")
    config = load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert config.database.dsn == SecretStr("postgresql://app:pw@db/app")


def test_a_key_with_an_underscore_is_found_in_a_credential(tmp_path: Path) -> None:
    (tmp_path / "delivery_max_in_flight").write_text("7")
    config = load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert config.delivery.max_in_flight == 7


def test_the_credentials_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tls.key").write_bytes(b"\xff")
    (tmp_path / "database_password").write_text("x")
    (tmp_path / "log.d").mkdir()
    assert load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == Config()


def test_a_missing_credentials_directory_is_a_problem(tmp_path: Path) -> None:
    assert problems({}, {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}) == [
        f"{tmp_path / 'none'}: No such file or directory"
    ]


def test_lists_in_the_environment_are_json() -> None:
    config = load(environ={"DISPATCHER_EGRESS__ALLOW": '["10.0.0.0/8", "[fd00::/8]:8080"]'})
    assert config.egress.allow == ("10.0.0.0/8", "[fd00::/8]:8080")


def test_variables_of_something_else_are_left_alone() -> None:
    environ = {"DISPATCHER_PORT": "tcp://10.0.0.1:80", "DISPATCHER_SERVICE_HOST": "x", "PATH": "/"}
    assert load(environ=environ) == Config()


def test_a_variable_with_one_underscore_too_few_is_a_problem() -> None:
    assert problems({}, {"DISPATCHER_DATABASE_DSN": SECRET}) == [
        "database.dsn: is set by DISPATCHER_DATABASE__DSN, not DISPATCHER_DATABASE_DSN"
    ]


def test_the_file_is_the_named_one_then_the_local_one_then_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def port() -> int:
        return load(environ=environ).admin.port

    environ: dict[str, str] = {}
    assert port() == 8400
    (tmp_path / "etc.toml").write_text("[admin]\nport = 1")
    assert port() == 1
    (tmp_path / "config.toml").write_text("[admin]\nport = 2")
    assert port() == 2
    (tmp_path / "other.toml").write_text("[admin]\nport = 3")
    environ["DISPATCHER_CONFIG"] = str(tmp_path / "other.toml")
    assert port() == 3
    assert from_toml(tmp_path, "[admin]\nport = 4", environ).admin.port == 4


def test_an_empty_text_means_not_set(tmp_path: Path) -> None:
    file = "[database]\ndsn = 'postgresql://db/app'\n"
    assert from_toml(tmp_path, file, {"DISPATCHER_DATABASE__DSN": ""}).database.dsn is None


# ── problems ─────────────────────────────────────────────────────────────────────────────────────


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = """
        admin = 5
        [delivery]
        concurrency = 0
        timout = "5s"
        timeout = "31s"
        [egress]
        allow = ["10.0.0.1/8", 7]
        [retention]
        events = "15d"
        [sinning]
        brand = "x"
    """
    with pytest.raises(ConfigError) as raised:
        from_toml(tmp_path, text, {"DISPATCHER_SIGNING__SCHEMES": "standard"})
    assert sorted(raised.value.problems) == [
        "admin: must be a table",
        "delivery.concurrency: must be greater than or equal to 1",
        "delivery.timeout: must be between 10ms and 30s",
        "delivery.timout: unknown key; did you mean timeout?",
        "egress.allow.0: must be a network such as 10.1.0.0/16: 10.0.0.1/8 has host bits set",
        "egress.allow.1: must be a valid string",
        "retention.events: must be at least retention.attempts + the longest span of [retry], "
        "here 17.14d",
        'signing.schemes: must be a list (in an environment variable JSON, such as ["a", "b"])',
        "sinning: unknown section; did you mean signing?",
    ]
    assert str(raised.value) == "\n".join(raised.value.problems)


def test_a_misspelt_section_in_the_environment_is_a_problem() -> None:
    assert problems({}, {"DISPATCHER_DELIVRY__TIMEOUT": "5s"}) == [
        "delivry: unknown section; did you mean delivery?"
    ]


@pytest.mark.parametrize("key", ["database.dsn", "secrets.key"])
@pytest.mark.parametrize("value", [SECRET, [SECRET], {"x": SECRET}])
def test_the_value_of_a_secret_is_never_reported(key: str, value: object) -> None:
    section, name = key.split(".")
    with pytest.raises(ConfigError) as raised:
        load(environ={}, overrides={section: {name: value}})
    assert str(raised.value).startswith(f"{key}: ")
    chain = [raised.value, raised.value.__cause__]
    assert not any(SECRET in repr(error) for error in chain)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_secrets_do_not_show_in_the_configuration() -> None:
    key = "ab" * 32
    config = load(
        environ={},
        overrides={"database": {"dsn": f"postgres://u:{SECRET}@h/d"}, "secrets": {"key": key}},
    )
    assert SECRET not in repr(config)
    assert key not in f"{config!r} {config} {config.model_dump()}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[admin\n", "is not TOML: "),
        (b"[log]\nlevel = '\xff'\n", "is not UTF-8 text"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    file = tmp_path / "given.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{file}: {problem}')}"):
        load(file, environ={})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    assert problems({}, {"DISPATCHER_CONFIG": missing}) == [f"{missing}: No such file or directory"]


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().admin.port = 1  # type: ignore[misc] # that is the point


# ── the sections ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("section", "key", "value", "loaded"),
    [
        ("delivery", "timeout", "30s", 30.0),
        ("delivery", "timeout", "0.5m", 30.0),
        ("delivery", "timeout", "250ms", 0.25),
        ("delivery", "disable_after", "1.5d", 129_600.0),
        ("delivery", "response_body", 0, 0),
        ("delivery", "concurrency", "10000", 10_000),
        ("delivery", "paused", "true", True),
        ("retry", "retries", 0, 0),
        ("retry", "jitter", "0.5", 0.5),
        ("retry", "factor", 1, 1.0),
        ("admin", "port", 0, 0),
        ("secrets", "key_file", "/run/key", Path("/run/key")),
        ("secrets", "key", "A" * 43 + "=", SecretStr("A" * 43 + "=")),
        ("signing", "schemes", ["stripe"], ("stripe",)),
        ("dashboard", "title", " Acme <Webhooks> ", "Acme <Webhooks>"),
    ],
)
def test_a_good_value_is_taken(section: str, key: str, value: object, loaded: object) -> None:
    config = load(environ={}, overrides={section: {key: value}})
    assert getattr(getattr(config, section), key) == loaded


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("database", "dsn", "mysql://db"),
        ("database", "statement_timeout", "1h"),
        ("delivery", "timeout", 15),
        ("delivery", "timeout", "15"),
        ("delivery", "timeout", "15 s"),
        ("delivery", "timeout", "-1s"),
        ("delivery", "timeout", "1s\n"),
        ("delivery", "timeout", "٣s"),
        ("delivery", "timeout", "0s"),
        ("delivery", "disable_after", "9" * 400 + "d"),
        ("delivery", "max_in_flight", 10_001),
        ("delivery", "response_body", 65_537),
        ("delivery", "max_data", 8 * 2**20 + 1),
        ("retry", "retries", 51),
        ("retry", "factor", 0.9),
        ("retry", "factor", float("nan")),
        ("retry", "jitter", 1.1),
        ("dashboard", "title", " "),
        ("dashboard", "title", "x" * 65),
        ("dashboard", "title", "two\nlines"),
        ("dashboard", "title", "left\u202etfel"),
        ("signing", "brand", "9lives"),
        ("signing", "brand", "Bad Brand"),
        ("signing", "brand", "x" * 33),
        ("signing", "schemes", []),
        ("signing", "schemes", ["standard", "standard"]),
        ("signing", "schemes", ["md5"]),
        ("signing", "body_hex_header", "X-{band}-Signature"),
        ("signing", "body_hex_header", "X Signature"),
        ("signing", "body_hex_header", ""),
        ("signing", "body_hex_header", "content-type"),
        ("signing", "body_hex_header", "Proxy-Authorization"),
        ("signing", "body_hex_header", "x-dispatcher-EVENT"),
        ("signing", "body_hex_header", "Webhook-Signature"),
        ("egress", "https_only", "perhaps"),
        ("secrets", "key", "A" * 44),
        ("secrets", "key", "g" * 64),
        ("admin", "host", ""),
        ("admin", "port", 65_536),
        ("retention", "attempts", "23h"),
        ("log", "level", "loud"),
        ("log", "format", "xml"),
    ],
)
def test_a_bad_value_is_a_problem_of_its_key(section: str, key: str, value: object) -> None:
    (problem,) = problems({section: {key: value}})
    assert re.match(rf"{section}\.{key}(\.\d+)?: ", problem)


def test_the_brand_is_put_into_the_names_of_headers() -> None:
    signing = load(environ={}, overrides={"signing": {"brand": "Paylent"}}).signing
    assert signing.body_hex_header == "X-Paylent-Signature"
    assert signing.timestamped_hex_timestamp_header == "X-Paylent-Timestamp"


@pytest.mark.parametrize("name", [one.name for one in fields(HeaderNames)])
def test_no_signature_may_take_the_header_of_something_else(name: str) -> None:
    """A new field of HeaderNames needs its setting, and a check of it."""
    signing = {"schemes": get_args(SchemeName), f"{name}_header": "X-{brand}-Delivery"}
    (problem,) = problems({"signing": signing})
    assert problem == f"signing.{name}_header: X-Dispatcher-Delivery is written by something else"


def test_two_schemes_that_write_one_header_are_a_problem() -> None:
    signing = {
        "schemes": ["body-hex", "timestamped-hex", "stripe"],
        "timestamped_hex_timestamp_header": "x-{brand}-signature",
        "stripe_header": "X-Dispatcher-Timestamped-SIGNATURE",
    }
    assert problems({"signing": signing}) == [
        "signing.timestamped_hex_timestamp_header: "
        "x-Dispatcher-signature is already written by signing.body_hex_header",
        "signing.stripe_header: X-Dispatcher-Timestamped-SIGNATURE "
        "is already written by signing.timestamped_hex_header",
    ]


def test_the_header_of_a_scheme_that_is_off_may_be_used() -> None:
    signing = {"schemes": ["standard", "stripe"], "stripe_header": "X-{brand}-Signature"}
    config = load(environ={}, overrides={"signing": signing})
    assert config.signing.stripe_header == config.signing.body_hex_header


def test_the_default_schedule_is_not_cut_by_its_cap() -> None:
    policy = Config().retry.policy()
    assert policy == RetryPolicy(retries=5, base=10, factor=12, jitter=0.2, cap=259_200)
    assert policy.base * policy.factor ** (policy.retries - 1) < policy.cap


def test_events_must_outlive_attempts_and_the_longest_retries() -> None:
    retry = {"retries": 3, "base": "1d", "factor": 2, "jitter": 0.5, "cap": "3d"}
    span = (1 + 2 + 3) * 1.5
    enough = {"retry": retry, "retention": {"events": f"{2 + span}d", "attempts": "2d"}}
    assert load(environ={}, overrides=enough).retry.longest_span() == span * 86_400
    short = {"retry": retry, "retention": {"events": f"{2 + span - 0.1}d", "attempts": "2d"}}
    (problem,) = problems(short)
    assert problem.startswith("retention.events: must be at least retention.attempts + ")


@pytest.mark.parametrize(
    ("overrides", "environ"),
    [
        ({"retry": {"retries": 50, "cap": "30d"}}, {}),
        ({"retry": {"retries": 50, "cap": "30d"}, "retention": {}}, {}),
        ({}, {"DISPATCHER_RETRY__RETRIES": "50"}),
        ({"retry": {"retries": 50}}, {"DISPATCHER_RETENTION__EVENTS": "30d"}),
    ],
)
def test_events_must_outlive_the_retries_also_if_no_retention_is_given(
    overrides: dict[str, object], environ: dict[str, str]
) -> None:
    (problem,) = problems(overrides, environ)
    assert problem.startswith("retention.events: must be at least retention.attempts + ")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/home/x"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/home/x/state", "HOME": "/home/x"}, "/home/x/state/dispatcher"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/x"}, "/home/x/.local/state/dispatcher"),
    ],
)
def test_the_state_directory_of_a_plain_user_follows_the_environment_variables(
    environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Config().state_directory(environ) == Path(expected)


def test_root_has_a_fixed_state_directory_and_a_user_without_a_home_must_name_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Config().state_directory({"HOME": "/root"}) == Path("/var/lib/dispatcher")
    config = load(environ={}, overrides={"database": {"state_directory": "/srv/state"}})
    assert config.state_directory({"STATE_DIRECTORY": "/other"}) == Path("/srv/state")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match=r"database\.state_directory"):
        Config().state_directory({})
