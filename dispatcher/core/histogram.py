"""Durations of attempts as counts between fixed bounds, and estimates from them."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

_DECADE = (10, 15, 20, 30, 50, 70)

BOUNDS_MS = (
    1,
    2,
    3,
    5,
    7,
    *(bound * scale for scale in (1, 10, 100) for bound in _DECADE),
    10_000,
    15_000,
    30_000,
)
"""A bin holds the durations up to its bound and above the bound before. Longer durations than the
last bound are counted in the last bin. The stored histograms depend on these bounds: other bounds
need another column in the database.
"""

BINS = len(BOUNDS_MS)
EMPTY = (0,) * BINS

_EDGES = (0, *BOUNDS_MS)
_LAST_BOUND_MS = BOUNDS_MS[-1]
_BIN_OF_MS = bytes(bisect_left(BOUNDS_MS, milliseconds) for milliseconds in range(_LAST_BOUND_MS))


def bin_of(milliseconds: int) -> int:
    """Return the number of the bin for a duration of 0 or more milliseconds."""
    return _BIN_OF_MS[milliseconds] if milliseconds < _LAST_BOUND_MS else BINS - 1


def add(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return the sum of two histograms."""
    return [left + right for left, right in zip(one, other, strict=True)]


def add_all(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Return the sum of the histograms, EMPTY if there are none."""
    total = list(EMPTY)
    for histogram in histograms:
        total = add(total, histogram)
    return total


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Estimate the `share` quantile in milliseconds; return None if there are no attempts.

    The estimate is a linear interpolation within the bin.
    """
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    for (low, high), count in zip(pairwise(_EDGES), counts, strict=True):
        if count and rank <= count:
            return low + (high - low) * max(rank, 0.0) / count
        rank -= count
    return float(_LAST_BOUND_MS)
