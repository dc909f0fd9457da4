"""The driver asks each new connection about arrays of numbers; remember the answer for all.

That question costs the server 6 ms each time, a daemon asks it on four connections, and the types
of PostgreSQL itself are the same on all of them. Types that a database defines are asked for.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import asyncpg

_FIRST_OF_A_DATABASE = 16_384
"""The lowest number of an object that a database defines."""
_NOT_ASKED = SimpleNamespace(name="not asked")
"""In place of the statement that asked; it has a name, for it has replaced no other statement."""

_driver: Any = asyncpg.Connection  # its types do not list what is private
_ask = _driver._introspect_types
_known: dict[tuple[object, frozenset[int]], Any] = {}


def remember() -> None:
    """Remember the answers from now on."""
    _driver._introspect_types = _introspect_types


@contextmanager
def forgotten() -> Iterator[None]:
    """Let each connection ask again, as long as this is entered."""
    _driver._introspect_types = _ask
    yield
    remember()


async def _introspect_types(
    connection: "asyncpg.Connection[Any]", numbers: Collection[int], limit: float | None
) -> tuple[Any, Any]:
    key = connection.get_server_version(), frozenset(numbers)
    if key in _known:
        return _known[key], _NOT_ASKED
    types, statement = await _ask(connection, numbers, limit)
    if max(numbers) < _FIRST_OF_A_DATABASE:
        _known[key] = types
    return types, statement
