"""Percentiles of counts between bounds."""

import random

import pytest

from dispatcher.core.histogram import (
    BINS,
    BOUNDS_MS,
    EMPTY,
    add,
    add_all,
    bin_of,
    percentile,
)


def counted(*durations: int) -> list[int]:
    counts = list(EMPTY)
    for duration in durations:
        counts[bin_of(duration)] += 1
    return counts


def test_a_bin_ends_with_its_bound() -> None:
    for number, bound in enumerate(BOUNDS_MS):
        assert bin_of(bound) == number
        assert bin_of(bound + 1) == min(number + 1, BINS - 1)
    assert bin_of(0) == 0
    assert bin_of(10**9) == BINS - 1


def test_the_stored_histograms_have_these_bounds() -> None:
    text = "1 2 3 5 7 10 15 20 30 50 70 100 150 200 300 500 700"
    text += " 1000 1500 2000 3000 5000 7000 10000 15000 30000"
    assert " ".join(map(str, BOUNDS_MS)) == text


def test_an_empty_histogram_has_no_percentile() -> None:
    assert percentile(EMPTY, 0.5) is None


@pytest.mark.parametrize(
    ("durations", "share", "milliseconds"),
    [
        ([1], 0.5, 0.5),
        ([100], 1.0, 100.0),
        ([200] * 4, 0.5, 175.0),  # between 150 and 200, half of them
        ([10] * 99 + [30_000], 0.5, 7 + 3 * 50 / 99),
        ([10] * 99 + [30_000], 0.99, 10.0),
        ([10] * 99 + [30_000], 1.0, 30_000.0),
        ([60_000], 1.0, 30_000.0),  # all durations above the last bound count as that bound
        ([1, 500], 0.5, 1.0),
        ([1, 500], 0.0, 0.0),
    ],
)
def test_a_percentile_is_interpolated_within_its_bin(
    durations: list[int], share: float, milliseconds: float
) -> None:
    assert percentile(counted(*durations), share) == pytest.approx(milliseconds)


def test_percentiles_grow_and_are_near_the_true_ones() -> None:
    lots = random.Random(5)
    durations = sorted(int(lots.lognormvariate(4, 1)) for _ in range(5000))
    counts = counted(*durations)
    shares = [n / 100 for n in range(1, 100)]
    estimates = [percentile(counts, share) or 0.0 for share in shares]
    assert estimates == sorted(estimates)
    for share, milliseconds in zip(shares, estimates, strict=True):
        true = durations[int(share * len(durations))]
        assert milliseconds == pytest.approx(true, rel=0.2, abs=1.0)


def test_histograms_add_up() -> None:
    one, other = counted(5, 50), counted(50, 500)
    assert add(one, other) == add_all([one, other]) == counted(5, 50, 50, 500)
    assert add_all([]) == list(EMPTY)
