"""The option `--shuffle SEED`: modules, and the tests within each, in an order by chance.

A test that passes only after another one, or only before it, then fails for some seeds. Tests of a
module stay together, so that its fixtures are set up once.
"""

import random
from collections import defaultdict

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in another order")


def pytest_report_header(config: pytest.Config) -> str | None:
    seed: int | None = config.getoption("--shuffle")
    return None if seed is None else f"shuffled: the same order again with SEED={seed}"


@pytest.hookimpl(tryfirst=True)  # pytest then groups the tests that share a fixture's parameter
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed: int | None = config.getoption("--shuffle")
    if seed is not None:
        items[:] = shuffled(items, random.Random(seed))


def shuffled(items: list[pytest.Item], chance: random.Random) -> list[pytest.Item]:
    """Return the same tests in another order; those of a module follow one another."""
    modules: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        modules[item.nodeid.partition("::")[0]].append(item)
    order = list(modules.values())
    chance.shuffle(order)
    for module in order:
        chance.shuffle(module)
    return [item for module in order for item in module]
