"""One page of a listing, newest first."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")
Row = Mapping[str, Any]

DEFAULT_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next` is the position to go on from, for the listing that made it; None: that was all.

    A page may be short, or empty, and still have a next: a filter was followed for long enough.
    """

    items: tuple[T, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a page may be: at most `items`, of about `size_bytes`, read `step` at a time."""

    items: int
    size_bytes: int
    step: int


async def filled(
    read: Callable[[K, int], Awaitable[Sequence[Row]]],
    after: K,
    bounds: Bounds,
    *,
    key: Callable[[Row], K],
    size: Callable[[Row], int],
    make: Callable[[Row], T],
) -> tuple[list[T], bool]:
    """Return what is made of the rows of a page, and whether there are more behind them.

    `read` returns so many rows after a position, `key` the position of a row, `size` its bytes,
    `make` what is wanted of it: done step by step, so that the event loop is not held up.
    A page has one row at least, however large, and never more than one step beyond its bytes was
    in memory.
    """
    found: list[T] = []
    size_bytes = 0
    while True:
        wanted = min(bounds.step, bounds.items + 1 - len(found))
        rows = await read(after, wanted)
        for row in rows:
            size_bytes += size(row)
            if found and (len(found) >= bounds.items or size_bytes > bounds.size_bytes):
                return found, True
            found.append(make(row))
        if len(rows) < wanted:
            return found, False
        after = key(rows[-1])
