"""When a flood waits in the inbox for sending to catch up."""

import pytest

from dispatcher.engine.fanout.pacing import (
    BEHIND,
    CATCHING_UP_A_SECOND,
    PAUSE_SECONDS,
    TRIAL_SECONDS,
    Pacing,
)

START = 1000.0
STEP = TRIAL_SECONDS * 1.01
QUICK = int(CATCHING_UP_A_SECOND * STEP * 2.5)
"""Deliveries that a busy daemon sends in a step."""


def paused(*left: int, step: float = STEP) -> list[bool]:
    """Return whether the flood waits at each step, with so many deliveries left."""
    pacing = Pacing()
    return [pacing.is_paused(START + i * step, number) for i, number in enumerate(left)]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([BEHIND], [False]),
        ([BEHIND + 1, BEHIND], [True, False]),
        ([BEHIND + 3 * QUICK, BEHIND + 2 * QUICK, BEHIND + QUICK], [True, True, True]),
        ([9_000, 9_000, 9_000, 9_000], [True, False, True, False]),
        ([9_000, 9_001], [True, False]),
        ([9_000, 9_000 - QUICK // 4], [True, False]),
        ([9_000, 9_000 - QUICK, 9_000 - QUICK], [True, True, True]),
        ([9_000, 9_000 - QUICK, 9_000 - QUICK, 9_000 - QUICK], [True, True, True, False]),
    ],
    ids=[
        "few left",
        "caught up",
        "catching up",
        "receivers hold it up",
        "more came",
        "too slow",
        "quick on the average",
        "quick no more",
    ],
)
def test_a_flood_waits_while_sending_catches_up(left: list[int], expected: list[bool]) -> None:
    assert paused(*left) == expected


def test_a_pause_that_has_just_begun_goes_on() -> None:
    assert paused(9_000, 9_000, 9_000, step=TRIAL_SECONDS / 4) == [True, True, True]


def test_a_pause_ends_and_another_one_begins() -> None:
    steps = int(PAUSE_SECONDS / STEP) + 1
    left = [100_000 - i * QUICK for i in range(steps + 2)]
    assert paused(*left) == [True] * steps + [False, True]
