"""A page ends at its limits, and says where the next one begins."""

from datetime import datetime
from uuid import UUID

import pytest

from dispatcher.core.pagination import CreationPosition, Page, PageBounds, fill_page


@pytest.mark.parametrize(
    ("rows", "items", "position"),
    [
        ([], (), None),
        ([9, 8], ("9", "8"), None),
        ([9, 8, 7], ("9", "8", "7"), None),
        ([9, 8, 7, 6], ("9", "8", "7"), 70),
    ],
)
def test_a_row_beyond_the_limit_shows_that_there_are_more(
    rows: list[int], items: tuple[str, ...], position: int | None
) -> None:
    assert Page.of(rows, 3, make=str, key=lambda row: row * 10) == Page(items, position)


class Listing:
    """Rows 1 to `count`, each of so many bytes; `steps` are the reads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.steps: list[tuple[int, int]] = []

    async def read(self, after: int, limit: int) -> list[int]:
        self.steps.append((after, limit))
        return list(range(after + 1, min(self._count, after + limit) + 1))


async def fill(listing: Listing, bounds: PageBounds, size: int) -> Page[int, int]:
    return await fill_page(
        listing.read, 0, bounds, key=lambda row: row, size=lambda _: size, make=lambda row: row
    )


@pytest.mark.parametrize(
    ("count", "size", "length", "has_more"),
    [
        (0, 1, 0, False),
        (5, 1, 5, False),
        (6, 1, 5, True),
        (5, 30, 3, True),  # 100 bytes hold three
        (2, 500, 1, True),  # one row however large
    ],
)
async def test_a_page_is_full_at_its_items_or_its_bytes(
    count: int, size: int, length: int, has_more: bool
) -> None:
    page = await fill(Listing(count), PageBounds(5, 100, 2), size)
    assert page == Page(tuple(range(1, length + 1)), length if has_more else None)


async def test_rows_are_read_step_by_step() -> None:
    listing = Listing(6)
    await fill(listing, PageBounds(5, 100, 4), 1)
    assert listing.steps == [(0, 4), (4, 2)]


async def test_no_step_has_many_more_bytes_than_the_event_loop_may_be_held_for() -> None:
    listing = Listing(100)
    await fill(listing, PageBounds(100, 10_000_000, 100), 10_000)
    assert [limit for _, limit in listing.steps] == [16] + [3] * 28 + [1]


async def test_small_rows_are_read_in_few_steps() -> None:
    listing = Listing(150)
    await fill(listing, PageBounds(200, 10_000_000, 50), 100)
    assert [limit for _, limit in listing.steps] == [16, 50, 50, 50]


@pytest.mark.parametrize("created_at", ["2026-03-04 05:06:07.891234+00:00", "1969-01-01 00:00Z"])
def test_a_position_by_creation_is_read_back_from_its_text(created_at: str) -> None:
    position = CreationPosition(datetime.fromisoformat(created_at), UUID(int=7))
    assert CreationPosition.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    ["", "_", "1", "x_00000000-0000-0000-0000-000000000007", "1_x", f"{'9' * 40}_{UUID(int=7)}"],
)
def test_a_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any: callers show none of it
        CreationPosition.parse(text)
