"""Lists that a page keeps up to date: the rows that it shows, and how many are newer."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from dispatcher.core import ids
from dispatcher.core.pagination import Page
from dispatcher.dashboard.addresses import SHOWN


class Identified(Protocol):
    """An item with a public id, such as `evt_1`."""

    @property
    def id(self) -> str: ...


class Positions(Protocol):
    """A request for a page of a list."""

    def position(self, name: str = "before") -> int | None: ...


Item = TypeVar("Item", bound=Identified)


@dataclass(frozen=True, slots=True)
class LiveList(Generic[Item]):
    """The rows of a page, as they are now.

    `shown` is the position directly above the rows, None if there are none. `newer` is the number
    of matching rows above that position, as in `12`, or `50+` if there may be more.
    """

    page: Page[Item, int]
    shown: int | None = None
    newer: str = "0"


async def read(
    request: Positions, read_page: Callable[[int | None], Awaitable[Page[Item, int]]]
) -> LiveList[Item]:
    """Return the rows that a page shows, or is about to show.

    `read_page` returns the page below a position, or the first page for None. A live update names
    the position above the rows that are shown, and gets these rows again. Otherwise newer rows
    would push them down.
    """
    shown = request.position(SHOWN)
    first = await read_page(request.position())
    if shown is None:
        return LiveList(first, _above(first.items))
    newer = sum(ids.number_of(item.id) >= shown for item in first.items)
    if not newer:
        return LiveList(first, shown)
    more = "+" if newer == len(first.items) and first.next is not None else ""
    return LiveList(await read_page(shown), shown, f"{newer}{more}")


def _above(items: Sequence[Identified]) -> int | None:
    return ids.number_of(items[0].id) + 1 if items else None
