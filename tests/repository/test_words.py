"""Code speaks the words of the field, as the documents do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for path in [*found, ROOT / "Makefile", ROOT / "pyproject.toml"]
        if (path.suffix in KINDS or path.name in NAMES)
        and not OTHERS.search(str(path.relative_to(ROOT)))
    }


def test_code_speaks_plainly() -> None:
    found = []
    for name, text in texts().items():
        for quoted in QUOTED.get(name, []):
            text = text.replace(quoted, "")
        for number, line in enumerate(text.splitlines(), start=1):
            if re.search(DIALECT, line, re.IGNORECASE):
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []


OTHER_NAMES_OF_LIMITS = re.compile(r"(?:^|_)(?:MOST|MAX|MAXIMUM|DEEPEST|LONGEST|LARGEST)(?:_|$)")
NO_LIMITS = {"LARGEST_ID"}
"""A value that exists, and that something may have."""


def constants(text: str) -> Iterator[str]:
    """The names that a module gives to values, in capitals."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper())


def test_a_limit_is_called_a_limit() -> None:
    """`EVENTS_LIMIT`, with its unit at the end if it has one: `BODY_LIMIT_BYTES`."""
    found = [
        f"{name}: {constant}"
        for name, text in texts().items()
        if name.endswith(".py")
        for constant in constants(text)
        if OTHER_NAMES_OF_LIMITS.search(constant) and constant not in NO_LIMITS
    ]
    assert found == []
