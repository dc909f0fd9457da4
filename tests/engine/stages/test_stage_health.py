"""Which stages get nowhere: failed passes in a row, or a pass that does not end."""

import pytest

from dispatcher.engine.stages.stage_health import PATIENCE_SECONDS, StageHealth


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> StageHealth:
    return StageHealth(clock)


def test_a_stage_that_never_began_does_not_fail(clock: Clock, health: StageHealth) -> None:
    health.note_idle("record")
    clock.now += 1_000
    assert health.failing() == {}


def test_a_stage_that_waits_between_two_passes_does_not_fail(
    clock: Clock, health: StageHealth
) -> None:
    health.began("fanout")
    health.succeeded("fanout")
    clock.now += 1_000
    assert health.failing() == {}


def test_failures_in_a_row_count_from_the_pass_of_the_first(
    clock: Clock, health: StageHealth
) -> None:
    health.began("fanout")
    for _ in range(5):
        clock.now += 2.0
        health.failed("fanout")
        health.began("fanout")
    assert health.failing() == {}
    clock.now += 0.5
    assert health.failing() == {"fanout": pytest.approx(10.5)}


def test_a_success_ends_the_streak(clock: Clock, health: StageHealth) -> None:
    health.began("fanout")
    health.failed("fanout")
    clock.now += 11
    assert "fanout" in health.failing()
    health.began("fanout")
    health.succeeded("fanout")
    assert health.failing() == {}
    health.began("fanout")
    health.failed("fanout")
    clock.now += PATIENCE_SECONDS
    assert health.failing() == {}


def test_a_pass_that_does_not_end_fails_when_it_has_taken_too_long(
    clock: Clock, health: StageHealth
) -> None:
    health.began("record")
    clock.now += PATIENCE_SECONDS
    assert health.failing() == {}
    clock.now += 1
    assert health.failing() == {"record": pytest.approx(11.0)}
    health.succeeded("record")
    assert health.failing() == {}


def test_a_pass_that_waits_for_work_is_not_late(clock: Clock, health: StageHealth) -> None:
    health.began("record")
    clock.now += 50
    health.note_idle("record")
    clock.now += 9
    assert health.failing() == {}
    clock.now += 2
    assert health.failing() == {"record": pytest.approx(11.0)}


def test_resting_does_not_hide_failures(clock: Clock, health: StageHealth) -> None:
    health.began("record")
    health.failed("record")
    clock.now += 11
    health.began("record")
    health.note_idle("record")
    assert health.failing() == {"record": pytest.approx(11.0)}


def test_each_stage_fails_by_itself(clock: Clock, health: StageHealth) -> None:
    health.began("lease")
    health.failed("lease")
    clock.now += 8
    health.began("fanout")
    health.failed("fanout")
    clock.now += 4
    assert health.failing() == {"lease": pytest.approx(12.0)}
