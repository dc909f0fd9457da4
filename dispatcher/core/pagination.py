"""Make one page of a listing."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

Item = TypeVar("Item")
Key = TypeVar("Key")
Row = TypeVar("Row")
Start = TypeVar("Start")

DEFAULT_LIMIT = 20
"""Items on a page if the request sets no limit."""
SEARCHED_LIMIT = 20_000
"""Most rows of one kind that a search by text reads, in some tens of milliseconds."""

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Key]):
    """A page of a listing.

    `next` is the position to continue from, for the listing that made the page. None means that
    this is the last page. A page may be short or empty and still have a `next`: a filtered listing
    stops after it has read enough rows.
    """

    items: tuple[Item, ...]
    next: Key | None

    @staticmethod
    def of(
        rows: Sequence[Row],
        limit: int,
        *,
        make: Callable[[Row], Item],
        key: Callable[[Row], Key],
        read_to: Key | None = None,
    ) -> "Page[Item, Key]":
        """Return the page of at most `limit` rows; a further row shows that there are more.

        `make` returns the item for a row, `key` the position of a row. `read_to` is where the
        search for rows stopped before the end of the listing, None if it reached the end.
        """
        items = tuple(make(row) for row in rows[:limit])
        return Page(items, key(rows[limit - 1]) if len(rows) > limit else read_to)

    @staticmethod
    def of_items(
        items: Sequence[Item], limit: int, *, key: Callable[[Item], Key]
    ) -> "Page[Item, Key]":
        """Return the page of at most `limit` items; a further item shows that there are more."""
        return Page(tuple(items[:limit]), key(items[limit - 1]) if len(items) > limit else None)

    @staticmethod
    def of_ids(ids: Sequence[Item], limit: int) -> "Page[Item, Item]":
        """Return the page of at most `limit` ids, as `of_items` does. An id is its own position."""
        return Page.of_items(ids, limit, key=lambda id_: id_)


@dataclass(frozen=True, slots=True)
class CreationPosition:
    """A position in a listing by the time of creation. The row that had it may be gone."""

    created_at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{(self.created_at - _UNIX_EPOCH) // _MICROSECOND}_{self.id}"

    @classmethod
    def parse(cls, text: str) -> "CreationPosition":
        """Return the position that was written as this text. Raise ValueError if it is none."""
        microseconds, _, id_ = text.partition("_")
        try:
            return cls(_UNIX_EPOCH + int(microseconds) * _MICROSECOND, UUID(id_))
        except OverflowError:
            raise ValueError("the time is out of range") from None


@dataclass(frozen=True, slots=True)
class PageBounds:
    """The limits of a page: at most `items`, about `size_bytes`, and `step` read at a time."""

    items: int
    size_bytes: int
    step: int


FIRST_STEP = 16
"""Rows that are read before their size is known."""
STEP_LIMIT_BYTES = 32_768
"""Bytes of rows that the event loop makes into items before other tasks may run."""


async def fill_page(
    read: Callable[[Start | Key, int], Awaitable[Sequence[Row]]],
    after: Start,
    bounds: PageBounds,
    *,
    key: Callable[[Row], Key],
    size: Callable[[Row], int],
    make: Callable[[Row], Item],
) -> Page[Item, Key]:
    """Return a page that is limited by its bytes as well.

    `read` returns at most a number of rows after a position, `key` the position of a row, `size`
    its bytes, and `make` the item for a row. Items are made step by step, so that the event loop is
    not blocked: the first step has FIRST_STEP rows, the others about STEP_LIMIT_BYTES. A page has
    at least one row, however large. At most one step of rows beyond the limit of bytes is in
    memory.
    """
    items: list[Item] = []
    size_bytes = 0
    last: Key | None = None
    while True:
        step = min(_step(len(items), size_bytes), bounds.step, bounds.items + 1 - len(items))
        rows = await read(after if last is None else last, step)
        for row in rows:
            size_bytes += size(row)
            if items and (len(items) >= bounds.items or size_bytes > bounds.size_bytes):
                return Page(tuple(items), last)
            items.append(make(row))
            last = key(row)
        if len(rows) < step:
            return Page(tuple(items), None)


def _step(rows: int, size_bytes: int) -> int:
    """Return how many rows to read after `rows` of this size."""
    return max(STEP_LIMIT_BYTES * rows // size_bytes, 1) if size_bytes else FIRST_STEP
