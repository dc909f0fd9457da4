"""SQL is in files named like the methods that run them, and nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatcher
from dispatcher.store import statements
from dispatcher.store.statements import statement
from tests.conftest import Connection

PACKAGE = Path(dispatcher.__file__).parent
QUERIES = PACKAGE.parent / "sql" / "queries"
NAMES = sorted(
    path.relative_to(QUERIES).with_suffix("").as_posix() for path in QUERIES.rglob("*.sql")
)

SQL = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|VALUES|RETURNING|CREATE|ALTER|DROP|LISTEN|NOTIFY)\b"
)
MAY_KNOW = {"embedded_postgres", "demo"}
"""Edges of the database, and the advice that people can INSERT themselves."""
MAY_ADVISE = {
    "cli/checks/database_checks.py",
    "cli/errors.py",
    "cli/checks/event_checks.py",
    "core/remedies.py",
    "telemetry/observe/maintenance.py",
}
"""What they hold are words for an administrator, such as what to GRANT."""
MAY_HOLD = {"migrate.py", "migration_files.py", "session.py", "setup.py", "server.py"}
"""Settings and the backend of a connection, asked before statements are read; and words."""


def used() -> Iterator[tuple[str, str]]:
    """Which statement is named where: ("noun/method" as named, "module/method" that names it)."""
    for path in sorted((PACKAGE / "store").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == "statement":
                        yield ast.literal_eval(call.args[0]), f"{path.stem}/{function.name}"


def texts(path: Path) -> Iterator[ast.Constant]:
    """The strings of a module that are not docstrings."""
    tree = ast.parse(path.read_text())
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
        ):
            yield node


def test_every_statement_is_run_by_the_method_of_its_name_and_by_no_other() -> None:
    pairs = list(used())
    assert [(named, by) for named, by in pairs if named != by] == []
    assert sorted(named for named, _ in pairs) == NAMES


def test_all_statements_can_be_read_ahead() -> None:
    statements._read.cache_clear()
    statements.read_all()
    assert statements._read.cache_info().currsize == len(NAMES)
    assert all(statement(name) for name in NAMES)
    assert statements._read.cache_info().misses == len(NAMES)


def test_no_other_module_holds_sql() -> None:
    places = [
        f"{path.relative_to(PACKAGE)}:{text.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in {*MAY_KNOW, "store"}
        and path.relative_to(PACKAGE).as_posix() not in MAY_ADVISE
        for text in texts(path)
        if SQL.search(str(text.value))
    ]
    assert places == []


def test_the_store_holds_no_sql_but_for_its_sessions() -> None:
    names = {
        path.name
        for path in (PACKAGE / "store").rglob("*.py")
        for text in texts(path)
        if SQL.search(str(text.value))
    }
    assert names <= MAY_HOLD


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_has_one_statement_that_relies_on_no_search_path(
    shared_connection: Connection, name: str
) -> None:
    await shared_connection.execute("SET search_path = ''")
    await shared_connection.prepare(statement(name))  # refuses a second statement
    assert statement(name).endswith("\n")
