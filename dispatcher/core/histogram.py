"""How long attempts took, as counts between fixed bounds, and what can be said from that."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import add

BOUNDS = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700),
    *(1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 30_000),
)
"""Milliseconds: a bin holds what took no longer than its bound and longer than the one before; what
took longer than the last is counted with it. What is stored depends on them: other bounds are another
column in the database."""

BINS = len(BOUNDS)
EMPTY = (0,) * BINS

_EDGES = (0, *BOUNDS)
_LONG = BOUNDS[-1]
_LOOKUP = bytes(bisect_left(BOUNDS, milliseconds) for milliseconds in range(_LONG))


def bin_of(milliseconds: int) -> int:
    """The bin's number, of what is not below 0."""
    return _LOOKUP[milliseconds] if milliseconds < _LONG else BINS - 1


def both(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return list(map(add, one, other))


def added(histograms: Iterable[Sequence[int]]) -> list[int]:
    total = list(EMPTY)
    for histogram in histograms:
        total = both(total, histogram)
    return total


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Milliseconds within which this share of the attempts was over, as if those of a bin had taken
    evenly spread times; None of no attempts."""
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    for (low, high), count in zip(pairwise(_EDGES), counts, strict=True):
        if count and wanted <= count:
            return low + (high - low) * max(wanted, 0.0) / count
        wanted -= count
    return float(BOUNDS[-1])
