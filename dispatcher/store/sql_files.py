"""Find the project's SQL files, in an installed package or in a checkout."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def root() -> Traversable:
    """Return the directory with `migrations/` and `queries/`.

    It is in the wheel, or beside the package in a checkout.
    """
    installed = files("dispatcher") / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "sql"
