"""What the documents name exists: files, settings, commands, words of make, objects in the database."""

import ast
import contextlib
import hashlib
import hmac
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dispatcher import __version__
from dispatcher.cli import main
from dispatcher.config.loading import PREFIX
from dispatcher.config.sections import Config
from dispatcher.core import payload, signing
from dispatcher.dashboard import signing_in

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dispatcher"
HOMES = (ROOT, PACKAGE)
"""Where a file is looked for: in the checkout or, for short, in the package."""
FILE = re.compile(r"\.(?:py|sql|toml|md|lock|service)$")
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
README = TEXTS["README.md"]
RECEIVING = TEXTS["docs/receiving.md"]
OPERATING = TEXTS["docs/operating.md"]
MIGRATIONS = "".join(
    path.read_text()
    for path in [
        *(ROOT / "sql" / "migrations").glob("*.sql"),
        PACKAGE / "store" / "migration" / "migrate.py",
    ]
)
EMITTERS = (ROOT / "sql" / "queries" / "events" / "emit_exhausted.sql").read_text()
"""Names the daemon's own event that looks like a setting."""
METRICS = (PACKAGE / "telemetry" / "metrics.py").read_text()
OTHER_NAMES = {signing_in.COOKIE, *re.findall(r'"(dispatcher_[a-z]+)"', METRICS)}
"""Of a cookie and of metrics, which look like roles of the database."""
MADE_LATER = {".", ".venv", "build", "config.toml", "dist"}
"""What people or make put into a checkout."""

DIALECT = r"\b(?:[w]hoever|[o]wed|[h]eed\w*|[a]new|[c]an not|[n]obody|[f]or ever)\b"
"""Words that the documents do not use; in brackets, so that a search for them does not find this line."""

every_document = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def quoted(text: str) -> list[str]:
    """Return the texts between backticks in running text."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def settings(section: str) -> set[str]:
    """The keys of a section; none if there is no such section."""
    field = Config.model_fields.get(section)
    return set(field.annotation.model_fields) if field else set()  # type: ignore[union-attr] # every section is a model


def command_lines(text: str) -> Iterator[list[str]]:
    """The words after `dispatcher` wherever a command is shown."""
    shown = [line for block in blocks(text, "sh") for line in block.splitlines()]
    for line in (*shown, *quoted(text)):
        # Another file of that name, such as an installed one, is run by the same words.
        match = re.match(r"(?:[A-Z_]+=\S+ )*(?:\S*/)?dispatcher (.+)", line)
        if match:
            yield shlex.split(match[1], comments=True)


def exists(name: str) -> bool:
    """`<noun>` and `*` stand for anything."""
    pattern = re.sub(r"<\w+>", "*", name).rstrip("/")
    return any(next(root.glob(pattern), None) is not None for root in HOMES)


@every_document
def test_every_link_leads_to_a_file(text: str) -> None:
    folder = next(ROOT / name for name, document in TEXTS.items() if document is text).parent
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [target for target in targets if not (folder / target).exists()] == []


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1200


def test_every_page_is_linked_from_another() -> None:
    linked = {
        str((ROOT / name).parent.joinpath(target).resolve().relative_to(ROOT.resolve()))
        for name, text in TEXTS.items()
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text)
        if (ROOT / name).parent.joinpath(target).resolve() != (ROOT / name).resolve()
    }
    assert [name for name in TEXTS if name != "README.md" and name not in linked] == []


def lines_that_need_action() -> set[str]:
    """The events that `telemetry/observe` logs as a warning or an error."""
    calls = [
        node
        for path in (PACKAGE / "telemetry" / "observe").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    chosen = [call for call in calls if call.func.attr in ("warning", "error")]  # type: ignore[attr-defined] # as above
    return {ast.literal_eval(call.args[0]) for call in chosen}


def test_every_log_line_that_needs_action_is_explained() -> None:
    table = OPERATING.partition("| event | what happened")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    explained = [name for cell in cells for name in re.findall("`([^`]+)`", cell)]
    assert sorted(explained) == sorted(lines_that_need_action())


def test_every_stage_is_explained() -> None:
    table = OPERATING.partition("| stage | what it does")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    sources = "".join(
        (PACKAGE / name).read_text() for name in ("engine/engine.py", "daemon/daemon.py")
    )
    assert sorted(named) == sorted(re.findall(r'Stage\("(\w+)"', sources))


@every_document
def test_the_words_are_plain(text: str) -> None:
    assert re.findall(DIALECT, text, re.IGNORECASE) == []


@every_document
def test_every_file_that_is_named_exists(text: str) -> None:
    named = [
        name
        for name in quoted(text)
        if re.fullmatch(r"[\w.<>*][\w.<>*/-]*", name)
        and (FILE.search(name) or any((root / name.split("/")[0]).is_dir() for root in HOMES))
        and name.split("/")[0] not in MADE_LATER
    ]
    assert [name for name in named if not exists(name)] == []


def test_every_folder_is_described() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    described = set(re.findall(r"\*\*`(\w+)/`\*\*", TEXTS["ARCHITECTURE.md"]))
    assert folders <= described


def test_the_floors_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = [
        re.split(r"  ", line)[0].replace(".py", "").strip()
        for line in blocks(TEXTS["ARCHITECTURE.md"], "")[0].splitlines()
    ]
    assert floors == layers


@every_document
def test_every_setting_that_is_named_exists(text: str) -> None:
    named = re.findall(r"^([a-z]+)\.([a-z_]+)$", "\n".join(quoted(text)), re.MULTILINE)
    unknown = [
        f"{section}.{key}"
        for section, key in named
        if section in Config.model_fields and key not in settings(section)
    ]
    assert [name for name in unknown if not FILE.search(name) and f"'{name}'" not in EMITTERS] == []
    sections = [match[1] for name in quoted(text) if (match := re.fullmatch(r"\[(\w+)\]", name))]
    assert [section for section in sections if not settings(section)] == []


@every_document
def test_every_variable_that_is_named_is_a_setting(text: str) -> None:
    named = re.findall(rf"{PREFIX}([A-Z]+)__([A-Z_]+)", text)
    assert [pair for pair in named if pair[1].lower() not in settings(pair[0].lower())] == []


def test_defaults_are_stated_as_they_are() -> None:
    config = Config()
    for text, sentence, truth in (
        (README, r"`retry\.retries` retries, by default (\d+)", config.retry.retries),
        (README, r"`delivery\.disable_after` \((\d+) d", config.delivery.disable_after / 86400),
        (RECEIVING, r"`retry\.retries` retries, by default (\d+)", config.retry.retries),
        (RECEIVING, r"`delivery\.timeout` \((\d+) s\)", config.delivery.timeout),
        (
            RECEIVING,
            r"`delivery\.response_body` bytes \((\d+) KiB\)",
            config.delivery.response_body / 1024,
        ),
        (RECEIVING, r"`delivery\.disable_after` \((\d+) d", config.delivery.disable_after / 86400),
        (OPERATING, r"`retention\.events` \((\d+) d\)", config.retention.events / 86400),
        (OPERATING, r"`retention\.attempts` \((\d+) d\)", config.retention.attempts / 86400),
        (OPERATING, r"`retention\.audit` \((\d+) d\)", config.retention.audit / 86400),
        (OPERATING, r"`admin\.port`: [\d.]+:(\d+)\)", config.admin.port),
        (TEXTS["docs/installing.md"], r"`admin\.port`: [\d.]+:(\d+)\.", config.admin.port),
    ):
        match = re.search(sentence.replace(" ", r"\s+"), text)
        assert match, sentence
        assert float(match[1]) == truth, sentence


def parse(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """Raises click's UsageError, as the command line would; runs nothing."""
    context = command.make_context(command.name, words, parent)
    if isinstance(command, click.Group):
        _, verb, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert verb is not None
        parse(verb, rest, context)


@every_document
def test_every_command_that_is_shown_is_understood(text: str) -> None:
    for words in command_lines(text):
        with contextlib.suppress(click.exceptions.Exit):  # of --help and --version
            parse(main, words)


def test_every_verb_is_in_the_changelog() -> None:
    assert [verb for verb in main.commands if f"`{verb}" not in TEXTS["CHANGELOG.md"]] == []


@every_document
def test_every_word_of_make_exists(text: str) -> None:
    words = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = "\n".join([*blocks(text, "sh"), *quoted(text)])
    assert sorted(set(re.findall(r"^make ([a-z]+)", shown, re.MULTILINE)) - set(words)) == []


@every_document
def test_a_wheel_that_is_named_is_the_one_of_this_version(text: str) -> None:
    assert set(re.findall(r"dispatcher-([\d.]+)-py3", text)) <= {__version__}


def test_an_upgrade_replaces_code_of_the_same_version() -> None:
    for name in ("UPGRADING.md", "docs/installing.md"):
        assert "pip install --no-deps --force-reinstall dist/" in TEXTS[name]


def test_a_new_wheel_lies_alone_in_its_directory() -> None:
    """Otherwise `dist/dispatcher-*.whl` would name several versions, which pip refuses."""
    recipe = (ROOT / "Makefile").read_text().partition("\nwheel:")[2].splitlines()[1:3]
    assert [line.split()[:2] for line in recipe] == [["@rm", "-rf"], ["@$(BIN)/python", "-m"]]


@every_document
def test_every_object_of_the_database_that_is_named_exists(text: str) -> None:
    modules = {path.stem for path in PACKAGE.iterdir()} | {"service"}
    named = set(re.findall(r"\bdispatcher\.([a-z_]+)", text)) - modules
    assert [name for name in named if f"dispatcher.{name}" not in MIGRATIONS] == []
    roles = set(re.findall(r"\bdispatcher_[a-z]+\b", text)) - OTHER_NAMES
    assert [role for role in roles if f"CREATE ROLE {role}" not in MIGRATIONS] == []


@pytest.mark.parametrize("text", [README, RECEIVING], ids=["README.md", "docs/receiving.md"])
def test_the_body_that_is_shown_is_one_that_is_sent(text: str) -> None:
    (body,) = (block.strip() for block in blocks(text, "json"))
    shown = json.loads(body)
    event_id = int(shown["event_id"].removeprefix("evt_"))
    data = body.partition('"data":')[2].removesuffix("}")
    assert payload.build(event_id, shown["event"], shown["environment_id"], data) == body.encode()


def test_the_python_that_is_shown_is_python() -> None:
    for text in TEXTS.values():
        for block in blocks(text, "python"):
            ast.parse(block)


def test_the_short_verifier_that_is_shown_verifies() -> None:
    (block,) = (block for block in blocks(RECEIVING, "python") if "def verify" in block)
    shown: dict[str, object] = {"hashlib": hashlib, "hmac": hmac}
    exec(block, shown)  # noqa: S102 - the document is ours
    verify, secret = shown["verify"], "0123456789abcdef" * 4
    names = signing.HeaderNames("Signature", "", "", "")
    headers = signing.sign(["body-hex"], names, [secret], event_id="evt_1", timestamp=1, body=b"{}")
    assert callable(verify)
    assert verify(b"{}", headers["Signature"], secret)
    assert not verify(b"{ }", headers["Signature"], secret)
