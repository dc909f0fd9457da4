"""The ids of environments, and the mark that stands for all of them."""

import re
from typing import Final

DEFAULT_ENVIRONMENT: Final = "env_default"
"""The environment of everything that names none. It always exists."""
ALL_ENVIRONMENTS: Final = "*"
"""Stands for all environments where an id is expected; no environment has this id."""
ID_PATTERN: Final = r"[A-Za-z0-9_-]{1,64}"
"""The form of an id, without anchors."""

_ID: Final = re.compile(ID_PATTERN)


def is_environment_id(text: str) -> bool:
    """Return True if the text has the form of an id, whether or not such an environment exists."""
    return _ID.fullmatch(text) is not None
