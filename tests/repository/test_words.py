"""Code speaks the words of the field, as the documents do."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.repository.test_documents import DIALECT

ROOT = Path(__file__).parents[2]
KINDS = {
    ".css",
    ".html",
    ".j2",
    ".js",
    ".py",
    ".service",
    ".sh",
    ".sql",
    ".toml",
    ".ts",
    ".yaml",
    ".yml",
}
NAMES = {"Makefile", "run"}
FOLDERS = (".ci", "dispatcher", "sql", "systemd", "tests")
OTHERS = re.compile(r"(?:^|/)(?:vendor|node_modules)/")
"""Folders with files of other projects."""

QUOTED = {
    "dispatcher/embedded_postgres/binaries.py": ["`nobody`", '"nobody"', "postgres or nobody"],
    "tests/network_server.py": ['"nobody"'],
    "tests/embedded_postgres/test_server.py": ['"nobody"'],
    "tests/repository/test_words.py": ["nobody"],
}
"""What is quoted and not said: the user `nobody` of Unix."""


def texts() -> dict[str, str]:
    """The files of the project with code in them, by path."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for path in [*paths, ROOT / "Makefile", ROOT / "pyproject.toml"]
        if (path.suffix in KINDS or path.name in NAMES)
        and not OTHERS.search(str(path.relative_to(ROOT)))
    }


def test_code_speaks_plainly() -> None:
    violations = []
    for name, text in texts().items():
        for quoted in QUOTED.get(name, []):
            text = text.replace(quoted, "")
        for number, line in enumerate(text.splitlines(), start=1):
            if re.search(DIALECT, line, re.IGNORECASE):
                violations.append(f"{name}:{number}: {line.strip()}")
    assert violations == []


QUESTION_WORDS = re.compile(r"(?:How|What|Where|Whether|Who)\b")
"""No first words of a docstring: it says what a function does, or names a thing."""


def test_no_docstring_of_a_helper_of_tests_begins_as_a_question() -> None:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    violations = [
        f"{name}:{node.lineno}: {docstring}"
        for name, text in texts().items()
        if name.startswith("tests/") and name.endswith(".py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds)
        if QUESTION_WORDS.match(docstring := ast.get_docstring(node) or "")
    ]
    assert violations == []


OTHER_NAMES_OF_LIMITS = re.compile(r"(?:^|_)(?:MOST|MAX|MAXIMUM|DEEPEST|LONGEST|LARGEST)(?:_|$)")
UNFIT_NAMES = re.compile(r"(?:_GRACE|(?:^|_)(?:CACHED|KEPT|CAPACITY|REMEMBERED))$")
"""Ends of names that leave open how much that is: a time lacks its unit, a number its `_LIMIT`."""
UNFIT_NAMES_OF_NUMBERS = re.compile(
    r"^AT_ONCE$|(?:^|_)(?:COUNTED|LISTED|MEMORY|NAMED|OF_ONE|READ|RESOLUTION|REST|SEARCHED|SHOWN|WAITING|WITHIN)$"
)
"""Likewise, where the value is a number. Such a name may well be that of a list or a text."""
NO_LIMITS = {"LARGEST_ID"}
"""A value that exists, and that something may have."""


def constants(text: str) -> Iterator[str]:
    """The names that a module gives to values, in capitals."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper())


def numbers(text: str) -> Iterator[str]:
    """The names that a module gives to numbers, in capitals."""
    for node in ast.parse(text).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if name.isupper() and _is_number(value):
                yield name


def _is_number(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=number):
            return isinstance(number, int | float)
        case ast.BinOp(left=left, right=right):
            return _is_number(left) and _is_number(right)
    return False


def documented(text: str) -> Iterator[tuple[str, str]]:
    """Each constant of a module that has a docstring, and that docstring."""
    body = ast.parse(text).body
    for node, following in pairwise(body):
        match node, following:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(docstring))),
            ):
                yield name, docstring


def test_what_is_the_most_of_something_is_called_a_limit() -> None:
    violations = [
        f"{name}: {constant}"
        for name, text in texts().items()
        if name.endswith(".py")
        for constant, docstring in documented(text)
        if docstring.startswith("Most ") and not re.search(r"(^|_)LIMIT(_|$)", constant)
    ]
    assert violations == []


@pytest.mark.parametrize(
    ("name", "is_good"),
    [("CLIENT_GRACE", False), ("CLIENT_GRACE_SECONDS", True), ("KEYS_CACHED", False)],
)
def test_a_constant_shows_its_unit_and_whether_it_is_a_limit(name: str, is_good: bool) -> None:
    assert (UNFIT_NAMES.search(name) is None) == is_good


@pytest.mark.parametrize(
    ("line", "is_good"),
    [
        ("WAITING = 32", False),
        ("WAITING_LIMIT = 32", True),
        ("MEMORY: Final = 768 * 2**20", False),
        ("WAITING = 'SELECT 1'", True),
        ("REST_FACTOR = 8.0", True),
    ],
)
def test_a_number_shows_its_unit_and_whether_it_is_a_limit(line: str, is_good: bool) -> None:
    assert any(map(UNFIT_NAMES_OF_NUMBERS.search, numbers(line))) != is_good


def test_a_number_of_the_package_shows_its_unit_and_whether_it_is_a_limit() -> None:
    violations = [
        f"{name}: {number}"
        for name, text in texts().items()
        if name.startswith("dispatcher/") and name.endswith(".py")
        for number in numbers(text)
        if UNFIT_NAMES_OF_NUMBERS.search(number)
    ]
    assert violations == []


def test_a_limit_is_called_a_limit() -> None:
    """`EVENTS_LIMIT`, with its unit at the end if it has one: `BODY_LIMIT_BYTES`."""
    violations = [
        f"{name}: {constant}"
        for name, text in texts().items()
        if name.endswith(".py")
        for constant in constants(text)
        if constant not in NO_LIMITS
        and (
            OTHER_NAMES_OF_LIMITS.search(constant)
            or (name.startswith("dispatcher/") and UNFIT_NAMES.search(constant))
        )
    ]
    assert violations == []


UNFIT_NAMES_OF_VARIABLES = re.compile(r"told|said|each|found|wanted|given|some|far|most")
"""Words that leave open what a variable holds: a noun says it, such as `message` or `rows`."""


def variables(text: str) -> Iterator[tuple[int, str]]:
    """The names of the variables and parameters of a module, with their lines; no attributes."""
    nodes = list(ast.walk(ast.parse(text)))
    attributes = {
        node
        for definition in nodes
        if isinstance(definition, ast.ClassDef)
        for statement in definition.body
        for node in ast.iter_child_nodes(statement)
    }
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if node not in attributes:
                yield node.lineno, name
            case (
                ast.arg(arg=name)
                | ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                yield node.lineno, name


def test_a_variable_is_named_for_what_it_holds() -> None:
    violations = [
        f"{name}:{line}: {variable}"
        for name, text in texts().items()
        if name.startswith(("dispatcher/", "tests/")) and name.endswith(".py")
        for line, variable in sorted(variables(text))
        if UNFIT_NAMES_OF_VARIABLES.fullmatch(variable)
    ]
    assert violations == []
