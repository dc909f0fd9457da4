"""Find the neighbours of an item in a list that is ordered by id, newest first."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from dispatcher.core import ids
from dispatcher.core.errors import RefusedError
from dispatcher.core.pagination import Page
from dispatcher.dashboard.lists.live_list import Identified

ROUNDS_LIMIT: Final = 24
"""Reads for one step."""
LONG_READS_LIMIT: Final = 2
"""Reads for one step that looked at thousands of rows and found few. A step must be quick, so it
gives up after them. The page of the list can search further."""
READ_LIMIT: Final = 50
_FIRST_SPAN: Final = 600_000 << ids.TIME_SHIFT
"""The ids of ten minutes."""
_FACTOR: Final = 16
_AHEAD: Final = timedelta(hours=1)
"""How far the database's clock may be ahead of this one."""


class TooFarError(RefusedError):
    """The search for the next item took too many reads."""


Read = Callable[[int, int, int], Awaitable[Page[Identified, int]]]
"""A function that reads the list: items with ids above the first number and below the second, at
most as many as the third, newest first."""


async def older(read: Read, number: int) -> str | None:
    """Return the id of the next older item than `number`, None if there is none.

    Raise TooFarError if the search took too many reads.
    """
    below = number
    for _ in range(LONG_READS_LIMIT):
        page = await read(-1, below, 1)
        if page.items:
            return page.items[0].id
        if page.next is None:
            return None
        below = page.next
    raise TooFarError("The next older item is too far away to be found by a step.")


async def newer(read: Read, number: int) -> str | None:
    """Return the id of the next newer item than `number`, None if there is none.

    Raise TooFarError if the search took too many reads.

    A list is read from its newest item on. So this function reads a short range of ids above
    `number`. If the range is empty, the next one is longer. If it holds more items than one read
    returns, a shorter range is read. Ids above `nearest`, the oldest of the newer items found so
    far, are not read.
    """
    end = ids.first_since(datetime.now(UTC) + _AHEAD)
    above, span, long_reads = number, _FIRST_SPAN, 0
    nearest: Identified | None = None
    for _ in range(ROUNDS_LIMIT):
        known = end + 1 if nearest is None else ids.number_of(nearest.id)
        below = min(above + 1 + span, known)
        page = await read(above, below, READ_LIMIT)
        if page.next is not None:
            nearest = page.items[-1] if page.items else nearest
            long_reads += len(page.items) < READ_LIMIT
            if long_reads >= LONG_READS_LIMIT:
                break
            span = max(1, span // _FACTOR)
        elif page.items:
            return page.items[-1].id
        elif below == known:
            return None if nearest is None else nearest.id
        else:
            above, span = below - 1, span * _FACTOR
    raise TooFarError("The next newer item is too far away to be found by a step.")
