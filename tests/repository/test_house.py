"""The files around the package agree with it and with one another."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import dispatcher
from dispatcher.embedded_postgres import binaries
from dispatcher.store.connection import setup
from dispatcher.store.migration.migration_files import read

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
RUNTIME_LOCK = (ROOT / "requirements-runtime.lock").read_text()
DEMO_LOCK = (ROOT / "requirements-demo.lock").read_text()


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == dispatcher.__version__


def test_every_locked_package_has_its_version_and_hashes() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    loose = [
        entry.splitlines()[0]
        for entry in entries
        if not re.match(r"[a-z0-9.-]+==\S+ .*\\\n    --hash=sha256:[0-9a-f]{64}", entry)
    ]
    assert loose == []


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    requirements = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    for extra in project["project"]["optional-dependencies"].values():
        requirements += extra
    names = {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in requirements}
    assert names <= set(re.findall(r"^([a-z0-9.-]+)==", LOCK, re.MULTILINE))


@pytest.mark.parametrize("lock", [LOCK, RUNTIME_LOCK, DEMO_LOCK])
def test_a_lock_names_no_index_and_no_place(lock: str) -> None:
    assert re.findall(r"^.*(?:://|^-|file:| @ ).*$", lock, re.MULTILINE) == []


def test_what_is_installed_for_production_is_what_was_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {
        re.split(r"[^a-z0-9-]", requirement)[0]
        for requirement in project["project"]["dependencies"]
    }
    assert names <= set(re.findall(r"^([a-z0-9.-]+)==", RUNTIME_LOCK, re.MULTILINE))
    assert _entries(RUNTIME_LOCK) <= _entries(LOCK)


def test_the_demo_locks_the_same_versions_as_the_tests() -> None:
    assert _entries(RUNTIME_LOCK) <= _entries(DEMO_LOCK) <= _entries(LOCK)


def _entries(lock: str) -> set[str]:
    return set(re.split(r"\n(?=\S)", lock.strip()))


def test_the_migrations_are_numbered_without_gap_or_repetition() -> None:
    assert [migration.number for migration in read()] == list(range(1, len(read()) + 1))


def test_the_oldest_postgresql_is_the_same_for_every_server() -> None:
    assert setup.OLDEST_SERVER == binaries.OLDEST_MAJOR


def test_a_module_that_calls_itself_pure_is_in_a_contract_against_input_and_output() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    listed = {
        module
        for contract in contracts["contracts"]
        if {"asyncio", "time", "random"} <= set(contract.get("forbidden_modules", ()))
        for module in contract["source_modules"]
    }
    claiming = set()
    for path in (ROOT / "dispatcher").rglob("*.py"):
        if re.search(r"\bPure[.:]", ast.get_docstring(ast.parse(path.read_text())) or ""):
            claiming.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    claiming = {module.removesuffix(".__init__") for module in claiming}
    assert claiming
    assert {m for m in claiming if not any(f"{m}.".startswith(f"{o}.") for o in listed)} == set()
