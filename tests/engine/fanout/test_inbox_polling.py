"""When to read the inbox again, and when to open a polling window."""

import pytest

from dispatcher.engine.fanout.inbox_polling import (
    BUSY_EVENTS,
    GRACE_SECONDS,
    IDLE_SECONDS,
    POLL_IN_RUSH_SECONDS,
    POLL_SECONDS,
    POLL_WITH_BACKLOG_SECONDS,
    POLLING_WINDOW_MS,
    RATE_WINDOW_SECONDS,
    RUSH_EVENTS,
    Plan,
    PollingWindow,
)

WINDOW_SECONDS = POLLING_WINDOW_MS / 1000
START = 1000.0


def plans(*picked: tuple[float, int], backlog: bool = False) -> list[Plan]:
    """Return the plans after reads at these seconds since the start."""
    window = PollingWindow()
    return [window.plan(START + at, events, backlog=backlog) for at, events in picked]


def test_a_quiet_inbox_is_left_to_notifications() -> None:
    assert plans((0.0, 0), (1.0, 1), (2.0, 0)) == [Plan(False, IDLE_SECONDS)] * 3


@pytest.mark.parametrize(
    ("picked", "busy"),
    [
        ([(0.0, BUSY_EVENTS)], True),
        ([(0.0, BUSY_EVENTS - 1)], False),
        ([(0.0, BUSY_EVENTS - 1), (RATE_WINDOW_SECONDS / 2, 1)], True),
        ([(0.0, BUSY_EVENTS - 1), (RATE_WINDOW_SECONDS, 1)], True),
        ([(0.0, BUSY_EVENTS - 1), (RATE_WINDOW_SECONDS + 0.01, 1)], False),
        ([(n / 1000, 1) for n in range(BUSY_EVENTS)], True),
    ],
)
def test_events_of_one_window_decide_whether_to_poll(
    picked: list[tuple[float, int]], busy: bool
) -> None:
    assert plans(*picked)[-1] == (Plan(True, POLL_SECONDS) if busy else Plan(False, IDLE_SECONDS))


def test_with_a_backlog_polls_are_rarer() -> None:
    for events in (BUSY_EVENTS, RUSH_EVENTS):
        assert plans((0.0, events), backlog=True) == [Plan(True, POLL_WITH_BACKLOG_SECONDS)]


def test_in_a_rush_polls_are_rarer() -> None:
    assert plans((0.0, RUSH_EVENTS - 1), (0.1, 1), (0.3, 1)) == [
        Plan(True, POLL_SECONDS),
        Plan(False, POLL_IN_RUSH_SECONDS),
        Plan(False, POLL_SECONDS),
    ]


def test_while_busy_the_window_never_ends_and_is_not_renewed_at_every_poll() -> None:
    window = PollingWindow()
    until, renewals = 0.0, 0
    for n in range(1000):
        now = START + n * POLL_SECONDS
        plan = window.plan(now, 5, backlog=False)
        if plan.must_renew:
            until, renewals = now + WINDOW_SECONDS, renewals + 1
        # The first eight reads find too few events to open a window.
        assert n < 7 or until - now > GRACE_SECONDS
    assert renewals == pytest.approx(1000 * POLL_SECONDS / (WINDOW_SECONDS - 0.2), abs=2)


def test_polling_goes_on_until_a_little_after_the_window() -> None:
    busy, *quiet = plans(
        (0.0, BUSY_EVENTS),
        (RATE_WINDOW_SECONDS + 0.01, 0),
        (WINDOW_SECONDS - 0.01, 0),
        (WINDOW_SECONDS + GRACE_SECONDS - 0.001, 0),
        (WINDOW_SECONDS + GRACE_SECONDS + 0.001, 0),
    )
    assert busy.must_renew
    assert quiet == [Plan(False, POLL_SECONDS)] * 3 + [Plan(False, IDLE_SECONDS)]


def test_a_new_rush_opens_a_new_window() -> None:
    assert plans((0.0, BUSY_EVENTS), (10.0, 0), (20.0, BUSY_EVENTS)) == [
        Plan(True, POLL_SECONDS),
        Plan(False, IDLE_SECONDS),
        Plan(True, POLL_SECONDS),
    ]
