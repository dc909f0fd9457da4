"""The database's time, carried forward by the machine's steady clock."""

from time import time

import pytest

from dispatcher.clock import Clock


class Steady:
    """A clock that tests move."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_before_the_database_was_asked_the_machines_time_stands_in() -> None:
    assert Clock().now() == pytest.approx(time(), abs=1)
    assert Clock(Steady(5.0)).now() == pytest.approx(time(), abs=1)


@pytest.mark.parametrize(
    ("asked_at", "answered_at", "then", "expected"),
    [
        (100.0, 100.0, 100.0, 5000.0),
        (100.0, 100.0, 107.5, 5007.5),
        # The answer was given half-way between the question and its arrival.
        (100.0, 102.0, 102.0, 5001.0),
        (100.0, 102.0, 110.0, 5009.0),
    ],
)
def test_it_goes_on_from_the_databases_answer(
    asked_at: float, answered_at: float, then: float, expected: float
) -> None:
    steady = Steady(answered_at)
    clock = Clock(steady)
    clock.set(5000.0, asked_at)
    steady.now = then
    assert clock.now() == expected


def test_each_answer_replaces_the_one_before_even_when_the_database_went_back() -> None:
    steady = Steady(10.0)
    clock = Clock(steady)
    clock.set(5000.0, 10.0)
    clock.set(4000.0, 10.0)
    assert clock.now() == 4000.0
