"""The database's time, carried forward by the machine's monotonic clock."""

import time

import pytest

from dispatcher.engine.clock import Clock, boottime


class FakeMonotonic:
    """A clock that tests move."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_before_the_first_answer_the_machines_time_is_used() -> None:
    assert Clock().now() == pytest.approx(time.time(), abs=1)
    assert Clock(FakeMonotonic(5.0)).now() == pytest.approx(time.time(), abs=1)


def test_a_clock_is_set_by_the_first_answer() -> None:
    clock = Clock(FakeMonotonic(5.0))
    assert not clock.is_set
    clock.set(5000.0, 5.0)
    assert clock.is_set


@pytest.mark.parametrize(
    ("asked_at", "answered_at", "then", "expected"),
    [
        (100.0, 100.0, 100.0, 5000.0),
        (100.0, 100.0, 107.5, 5007.5),
        # The answer may have been given at the last moment before it arrived: never ahead.
        (100.0, 102.0, 102.0, 5000.0),
        (100.0, 102.0, 110.0, 5008.0),
    ],
)
def test_the_clock_continues_from_the_databases_answer(
    asked_at: float, answered_at: float, then: float, expected: float
) -> None:
    source = FakeMonotonic(answered_at)
    clock = Clock(source)
    clock.set(5000.0, asked_at)
    source.now = then
    assert clock.now() == expected


@pytest.mark.parametrize("slow_question", [0.0, 0.7, 1.0])
def test_a_slow_answer_does_not_replace_a_quick_one(slow_question: float) -> None:
    source = FakeMonotonic(10.0)
    clock = Clock(source)
    clock.set(5000.0, 9.999)
    source.now = 21.0
    clock.set(5010.0 + slow_question, 20.0)  # asked at 20.0, answered some time in that second
    assert clock.now() == pytest.approx(5011.0)


def test_a_quick_answer_makes_the_estimate_better() -> None:
    source = FakeMonotonic(11.0)
    clock = Clock(source)
    clock.set(5000.1, 10.0)
    assert clock.now() == pytest.approx(5000.1)
    clock.set(5000.999, 10.998)
    assert clock.now() == pytest.approx(5000.999)


def test_an_answer_replaces_the_one_before_when_the_database_went_back() -> None:
    source = FakeMonotonic(10.0)
    clock = Clock(source)
    clock.set(5000.0, 10.0)
    for moved in (4000.0, 4000.5, 6000.0):
        clock.set(moved, 10.0)
        assert clock.now() == moved


@pytest.mark.parametrize(
    ("moved", "step"),
    [
        (5000.0, 0.0),
        (5004.9, 0.0),
        (4995.1, 0.0),
        (5005.0, 5.0),
        (4995.0, -5.0),
        (8600.0, 3600.0),
        (1400.0, -3600.0),
    ],
)
def test_a_step_of_the_databases_clock_is_returned(moved: float, step: float) -> None:
    source = FakeMonotonic(10.0)
    clock = Clock(source)
    assert clock.set(5000.0, 10.0) == 0.0, "the first answer is compared with nothing"
    source.now = 11.0
    assert clock.set(moved + 1.0, 11.0) == pytest.approx(step)
    assert clock.now() == moved + 1.0


def test_a_slow_answer_is_not_a_step() -> None:
    source = FakeMonotonic(10.0)
    clock = Clock(source)
    clock.set(5000.0, 10.0)
    source.now = 40.0
    assert clock.set(5000.5, 10.0) == 0.0
    assert clock.set(5029.5, 10.0) == 0.0
    assert clock.now() == 5030.0


def test_the_monotonic_clock_goes_on_while_the_machine_is_suspended() -> None:
    assert boottime() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=1)
