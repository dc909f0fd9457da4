"""The picture of a day: a bar for each half hour in which something was sent."""

import pytest

from dispatcher.dashboard.sparkline import sparkline


@pytest.mark.parametrize(
    ("points", "whole", "failed"),
    [
        ((), "", ""),
        (((0, 0), (0, 0)), "", ""),
        (((4, 0), (0, 0), (2, 0)), "M0 27v-26h2V27zM6 27v-13h2V27z", ""),
        (((4, 1),), "M0 27v-26h2V27z", "M0 27v-6.5h2V27z"),
        (((4, 4),), "", "M0 27v-26h2V27z"),
        (((1000, 1), (1, 0)), "M0 27v-26h2V27zM3 27v-1.5h2V27z", "M0 27v-1.5h2V27z"),
    ],
)
def test_bars_are_as_high_as_there_were_attempts(
    points: tuple[tuple[int, int], ...], whole: str, failed: str
) -> None:
    assert sparkline(points) == (whole, failed)
