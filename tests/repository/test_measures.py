"""The package stays in measure: short modules and functions, few at one level, one name a file."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dispatcher"
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PACKAGE.rglob("*.py")}

MODULE_LINES_LIMIT = 350
FUNCTION_LINES_LIMIT = 40
MEAN_MODULE_LINES_LIMIT = 130
MEAN_FUNCTION_LINES_LIMIT = 10
TOP_MODULES_LIMIT = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(text: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            yield node


def lines(function: Function) -> int:
    """From `def` to the last line, with the docstring."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_no_module_is_too_long() -> None:
    long = {name for name, text in TEXTS.items() if text.count("\n") > MODULE_LINES_LIMIT}
    assert long == set()


def test_no_function_is_too_long() -> None:
    long = {
        f"{name} {function.name}"
        for name, text in TEXTS.items()
        for function in functions(text)
        if lines(function) > FUNCTION_LINES_LIMIT
    }
    assert long == set()


def test_modules_and_functions_are_short_on_average() -> None:
    assert mean(text.count("\n") for text in TEXTS.values()) <= MEAN_MODULE_LINES_LIMIT
    sizes = [lines(function) for text in TEXTS.values() for function in functions(text)]
    assert mean(sizes) <= MEAN_FUNCTION_LINES_LIMIT


def test_few_modules_are_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= TOP_MODULES_LIMIT


def test_no_two_files_of_a_layer_have_one_name() -> None:
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    names = Counter(f"{path.parts[0]}/{path.name}" for path in paths if path.stem != "__init__")
    assert {name for name, count in names.items() if count > 1} == set()


def test_each_folder_has_tests_in_a_folder_of_its_name() -> None:
    layers = [path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    stages = [path for path in (PACKAGE / "engine").iterdir() if (path / "__init__.py").exists()]
    assert layers
    assert stages
    untested = [
        path.relative_to(PACKAGE)
        for path in (*layers, *stages)
        if not any((ROOT / "tests" / path.relative_to(PACKAGE)).glob("**/test_*.py"))
    ]
    assert untested == []


@pytest.mark.parametrize("name", [name for name in TEXTS if "/api/handlers/" in name])
def test_handlers_are_typed(name: str) -> None:
    """`Any` in a signature would hide from mypy that a handler takes or answers another thing."""
    untyped = [
        function.name
        for function in functions(TEXTS[name])
        for annotation in (
            function.returns,
            *(
                argument.annotation
                for argument in ast.walk(function.args)
                if isinstance(argument, ast.arg)
            ),
        )
        if annotation is not None
        and any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(annotation))
    ]
    assert untyped == []
