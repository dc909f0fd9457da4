"""A live update brings the rows that a page shows, and how many are newer."""

import re
from dataclasses import dataclass

import pytest

from dispatcher.core.pagination import Page
from dispatcher.dashboard import addresses
from dispatcher.dashboard.lists import live_list
from tests.api.conftest import Client, delivered
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_deliveries import emit
from tests.dashboard.test_webhooks import made
from tests.receivers import Receiver

LIMIT = 3
ROW = re.compile(r'<tr id="(\w+)"')


@dataclass(frozen=True, slots=True)
class Row:
    id: str


@dataclass(frozen=True, slots=True)
class Asked:
    shown: int | None = None
    before: int | None = None

    def position(self, name: str = "before") -> int | None:
        return self.shown if name == addresses.SHOWN else self.before


@pytest.mark.parametrize(
    ("stored", "asked", "rows", "shown", "newer"),
    [
        ([], Asked(), [], None, "0"),
        ([], Asked(shown=4), [], 4, "0"),
        ([5, 4, 3, 2, 1], Asked(), [5, 4, 3], 6, "0"),
        ([5, 4, 3, 2, 1], Asked(before=3), [2, 1], 3, "0"),
        ([5, 4, 3, 2, 1], Asked(shown=6), [5, 4, 3], 6, "0"),
        ([6, 5, 4, 3, 2, 1], Asked(shown=6), [5, 4, 3], 6, "1"),
        ([9, 8, 7, 5, 4], Asked(shown=6), [5, 4], 6, "3+"),
        ([9, 8, 7], Asked(shown=6), [], 6, "3"),
        ([9, 4, 3], Asked(shown=6), [4, 3], 6, "1"),  # the first row has left the list
    ],
)
async def test_the_rows_that_are_shown_are_read_again(
    stored: list[int], asked: Asked, rows: list[int], shown: int | None, newer: str
) -> None:
    async def read_page(before: int | None) -> Page[Row, int]:
        below = [number for number in stored if before is None or number < before]
        return Page.of_items([Row(f"evt_{number}") for number in below], LIMIT, key=_number)

    listing = await live_list.read(asked, read_page)
    assert [_number(row) for row in listing.page.items] == rows
    assert (listing.shown, listing.newer) == (shown, newer)


def _number(row: Row) -> int:
    return int(row.id.removeprefix("evt_"))


async def test_every_list_that_grows_names_what_it_shows(
    visitor: Visitor, admin: Client, receiver: Receiver
) -> None:
    webhook = await made(admin, receiver.url)
    await emit(admin)
    await delivered(admin, webhook)
    paths = ("/events", "/deliveries", f"/webhooks/{webhook}")
    pages = {path: (await visitor.get(path)).text for path in paths}
    await emit(admin)
    await delivered(admin, webhook, 2)
    for path, text in pages.items():
        [shown] = re.findall(r'data-shown="(\d+)" data-newer="0"', text)
        [row] = ROW.findall(text)
        update = (await visitor.get(f"{path}?shown={shown}", HX_Request="true")).text
        assert f'data-shown="{shown}" data-newer="1"' in update
        assert ROW.findall(update) == [row]
        assert "?shown=" not in update  # links lead to the newest rows
        assert len(ROW.findall((await visitor.get(path)).text)) == 2
