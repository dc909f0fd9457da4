"""Code speaks the words of the field, as the documents do."""

import re
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
