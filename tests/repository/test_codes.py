"""The words for programs in docs/api.md are those of the source: error codes and reasons."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import get_args

from dispatcher.api.errors import STATUSES_AND_TITLES
from dispatcher.schema_validation.validate import Reason

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "api.md").read_text()
OF_AIOHTTP = {(404, "not_found"), (405, "method_not_allowed")}
"""The codes of an unknown path and of an unknown method, which are made of the status's name."""


def rows(header: str) -> list[list[str]]:
    """The cells of a table of the page, without backticks."""
    table = API.partition(header)[2].partition("\n\n")[0]
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def constructed(path: Path) -> Iterator[tuple[int, str]]:
    """The status and the code of each HttpError that a module makes with a constant code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            code = node.args[1] if node.func.id == "HttpError" and len(node.args) > 1 else None
            if isinstance(code, ast.Constant):
                yield status(node.args[0]), str(code.value)


def status(node: ast.expr) -> int:
    """The status of a number, or of an `HTTPStatus.NAME`."""
    if isinstance(node, ast.Attribute):
        return HTTPStatus[node.attr].value
    return int(ast.literal_eval(node))


def test_every_error_code_is_explained() -> None:
    modules = (ROOT / "dispatcher" / "api").rglob("*.py")
    made = {pair for path in modules for pair in constructed(path)}
    made |= {(status, error.code) for error, (status, _) in STATUSES_AND_TITLES.items()}
    explained = {(int(status), code) for code, status, _ in rows("| code | status |")}
    assert explained == made | OF_AIOHTTP


def test_every_reason_of_the_quarantine_is_explained() -> None:
    statements = "".join(path.read_text() for path in (ROOT / "sql" / "queries").rglob("*.sql"))
    written = set(re.findall(r"attempt \+ 1, '(\w+)'|, 0, '(\w+)'", statements))
    fanout = (ROOT / "dispatcher" / "engine" / "fanout" / "fanout.py").read_text()
    reasons = {"".join(pair) for pair in written}
    reasons |= {*get_args(Reason), *re.findall(r'\.quarantine\("(\w+)"', fanout)}
    assert {reason for reason, _ in rows("| reason | meaning |")} == reasons
