"""Who is silent, and for how long: by the observer's own clock, whatever the database's does."""

import pytest

from dispatcher.core.model import Heartbeat, SilentDaemon
from dispatcher.engine.ownership.other_daemons import OtherDaemons

HOUR = 3_600.0


def watching(*looks: tuple[float, list[Heartbeat]]) -> OtherDaemons:
    """One that has looked at these times."""
    other_daemons = OtherDaemons()
    for now, heartbeats in looks:
        other_daemons.note_heartbeats(heartbeats, now)
    return other_daemons


def test_a_single_daemon_has_no_other_daemons() -> None:
    other_daemons = watching((100.0, []))
    assert other_daemons.count_sending(100.0) == 0
    assert other_daemons.silent(200.0) == []
    assert other_daemons.next_change(100.0) == float("inf")


@pytest.mark.parametrize(
    ("age", "after", "silent"),
    [
        (0.0, 1.1, []),
        (0.0, 1.2, [SilentDaemon(1, 5, whole_lease=False)]),
        (1.0, 0.1, []),
        (1.0, 0.2, [SilentDaemon(1, 5, whole_lease=False)]),
        (9.0, 0.9, [SilentDaemon(1, 5, whole_lease=False)]),
        (9.0, 1.0, [SilentDaemon(1, 5, whole_lease=True)]),
        # The clock was set back after its last heartbeat: the count says nothing of the time before.
        (-HOUR, 1.1, []),
        (-HOUR, 1.2, [SilentDaemon(1, 5, whole_lease=False)]),
        (-HOUR, 10.0, [SilentDaemon(1, 5, whole_lease=True)]),
    ],
)
def test_the_first_read_uses_the_age_of_the_row(
    age: float, after: float, silent: list[SilentDaemon]
) -> None:
    other_daemons = watching((100.0, [Heartbeat(1, 5, age)]))
    assert other_daemons.silent(100.0 + after) == silent
    assert other_daemons.count_sending(100.0 + after) == (0 if silent else 1)


@pytest.mark.parametrize("age", [-HOUR, 0.0, 0.1, HOUR])
def test_a_count_that_moves_is_a_sign_of_life_at_any_age(age: float) -> None:
    looks = [(100.0 + n / 4, [Heartbeat(1, n, age if n else 0.0)]) for n in range(8)]
    other_daemons = watching(*looks)
    assert other_daemons.silent(looks[-1][0]) == []
    assert other_daemons.count_sending(looks[-1][0]) == 1


@pytest.mark.parametrize("age", [-HOUR, 0.0, HOUR])
def test_silence_is_timed_from_the_last_time_the_count_moved(age: float) -> None:
    other_daemons = watching(
        (100.0, [Heartbeat(1, 5, 0.0)]),
        (100.25, [Heartbeat(1, 6, 0.0)]),
        (100.5, [Heartbeat(1, 6, age)]),
        (101.4, [Heartbeat(1, 6, age)]),
    )
    assert other_daemons.silent(101.4) == []
    assert other_daemons.silent(101.45) == [SilentDaemon(1, 6, whole_lease=False)]
    assert other_daemons.silent(110.2) == [SilentDaemon(1, 6, whole_lease=False)]
    assert other_daemons.silent(110.25) == [SilentDaemon(1, 6, whole_lease=True)]


def test_between_two_reads_the_age_counts_up_to_their_distance() -> None:
    other_daemons = watching((100.0, [Heartbeat(1, 5, 0.0)]), (100.25, [Heartbeat(1, 6, 0.2)]))
    assert other_daemons.silent(101.24) == []
    assert other_daemons.silent(101.26) == [SilentDaemon(1, 6, whole_lease=False)]
    set_forward = watching((100.0, [Heartbeat(1, 5, 0.0)]), (100.25, [Heartbeat(1, 6, HOUR)]))
    assert set_forward.silent(101.19) == []


def test_a_daemon_that_joined_since_the_last_read_was_alive_then() -> None:
    other_daemons = watching((100.0, []), (100.25, [Heartbeat(1, 0, HOUR)]))
    assert other_daemons.count_sending(100.25) == 1
    assert other_daemons.silent(101.19) == []


def test_the_next_change_is_the_next_limit_of_a_silent_daemon() -> None:
    other_daemons = watching((100.0, [Heartbeat(1, 5, 0.0), Heartbeat(2, 5, 1.0)]))
    assert other_daemons.next_change(100.0) == pytest.approx(0.2)
    assert other_daemons.next_change(100.5) == pytest.approx(0.7)
    assert other_daemons.next_change(102.0) == pytest.approx(7.0)
    assert other_daemons.next_change(120.0) == float("inf")


def test_a_draining_daemon_may_still_be_sending_and_has_no_share() -> None:
    other_daemons = watching(
        (100.0, [Heartbeat(1, 5, 0.0, is_draining=True), Heartbeat(2, 5, 0.0)])
    )
    assert other_daemons.count_sending(100.5) == 2
    assert other_daemons.count_sharing(100.5) == 1
    assert other_daemons.count_sharing(101.2) == 0
    assert len(other_daemons.silent(101.2)) == 2


def test_daemons_that_left_are_forgotten() -> None:
    other_daemons = watching((100.0, [Heartbeat(1, 5, 5.0)]), (100.25, []))
    assert other_daemons.silent(200.0) == []
