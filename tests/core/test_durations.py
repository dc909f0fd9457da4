"""Durations in words."""

import pytest

from dispatcher.core import durations


@pytest.mark.parametrize(
    ("seconds", "rounded", "precise", "completed"),
    [
        (0.0, "0 s", "0 s", (0, "s")),
        (0.25, "0 s", "0.25 s", (0, "s")),
        (9.96, "10 s", "10 s", (9, "s")),
        (59.9, "60 s", "60 s", (59, "s")),
        (60.0, "1 min", "1 min", (1, "min")),
        (119.0, "2 min", "2 min", (1, "min")),
        (17_280.0, "5 h", "4.8 h", (4, "h")),
        (86_400.0, "1 d", "1 d", (1, "d")),
        (207_360.0, "2 d", "2.4 d", (2, "d")),
    ],
)
def test_a_duration_has_its_largest_unit(
    seconds: float, rounded: str, precise: str, completed: tuple[int, str]
) -> None:
    assert durations.rounded(seconds) == rounded
    assert durations.precise(seconds) == precise
    assert durations.completed(seconds) == completed
