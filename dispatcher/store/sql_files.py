"""Where the project's SQL files are, installed or in a checkout."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def root() -> Traversable:
    """The directory with `migrations/` and `queries/`: in the wheel, else beside the package."""
    installed = files("dispatcher") / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "sql"
