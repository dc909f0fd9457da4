"""One page of a listing, newest first."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")
Row = Mapping[str, Any]

DEFAULT_LIMIT = 20
"""Items on a page if the request sets no limit."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a listing.

    `next` is the position to continue from, for the listing that made the page. None means that
    this is the last page. A page may be short or empty and still have a `next`: a filtered listing
    stops after it has read enough rows.
    """

    items: tuple[T, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a page: at most `items`, of about `size_bytes`, read `step` at a time."""

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
    """Return the items of a page, and whether there are more behind them.

    `read` returns at most a number of rows after a position, `key` the position of a row, `size`
    its bytes, and `make` the item for a row. Items are made step by step, so that the event loop is
    not blocked. A page has at least one row, however large. At most one step of rows beyond the
    limit of bytes is in memory.
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
