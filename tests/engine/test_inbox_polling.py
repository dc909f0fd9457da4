"""When to look again, and when to promise emitters that we will."""

import pytest

from dispatcher.engine.inbox_polling import (
    BACKSTOP,
    BACKSTOP_WITHOUT_NOTIFY,
    BUSY,
    GRACE,
    POLL,
    POLL_WITH_BACKLOG,
    PROMISE_MS,
    WINDOW,
    Plan,
    Promise,
)

LASTS = PROMISE_MS / 1000
START = 1000.0


def looks(*picked: tuple[float, int], backlog: bool = False) -> list[Plan]:
    """The plans after looks at these seconds since the start."""
    promise = Promise()
    return [promise.plan(START + at, events, backlog=backlog) for at, events in picked]


def test_a_quiet_inbox_is_left_to_notifications() -> None:
    assert looks((0.0, 0), (1.0, 1), (2.0, 0)) == [Plan(False, BACKSTOP)] * 3


def test_where_nobody_notifies_an_idle_inbox_is_looked_at_more_often() -> None:
    promise = Promise(notified=False)
    assert promise.plan(START, 0, backlog=False) == Plan(False, BACKSTOP_WITHOUT_NOTIFY)
    assert promise.plan(START, BUSY, backlog=False) == Plan(True, POLL)


@pytest.mark.parametrize(
    ("picked", "busy"),
    [
        ([(0.0, BUSY)], True),
        ([(0.0, BUSY - 1)], False),
        ([(0.0, BUSY - 1), (WINDOW / 2, 1)], True),
        ([(0.0, BUSY - 1), (WINDOW, 1)], True),
        ([(0.0, BUSY - 1), (WINDOW + 0.01, 1)], False),
        ([(n / 1000, 1) for n in range(BUSY)], True),
    ],
)
def test_events_of_one_window_decide_whether_to_poll(
    picked: list[tuple[float, int]], busy: bool
) -> None:
    assert looks(*picked)[-1] == (Plan(True, POLL) if busy else Plan(False, BACKSTOP))


def test_with_work_waiting_to_be_sent_polls_are_rarer() -> None:
    assert looks((0.0, BUSY), backlog=True) == [Plan(True, POLL_WITH_BACKLOG)]


def test_while_it_is_busy_the_promise_never_runs_out_and_is_not_made_at_every_poll() -> None:
    promise = Promise()
    until, promises = 0.0, 0
    for n in range(1000):
        now = START + n * POLL
        plan = promise.plan(now, 5, backlog=False)
        if plan.renew:
            until, promises = now + LASTS, promises + 1
        # The first eight looks find too little to promise anything.
        assert n < 7 or until - now > GRACE
    assert promises == pytest.approx(1000 * POLL / (LASTS - 0.2), abs=2)


def test_what_was_promised_is_kept_and_a_little_longer_after_the_last_event() -> None:
    busy, *quiet = looks(
        (0.0, BUSY),
        (WINDOW + 0.01, 0),
        (LASTS - 0.01, 0),
        (LASTS + GRACE - 0.001, 0),
        (LASTS + GRACE + 0.001, 0),
    )
    assert busy.renew
    assert quiet == [Plan(False, POLL)] * 3 + [Plan(False, BACKSTOP)]


def test_a_new_rush_is_promised_anew() -> None:
    assert looks((0.0, BUSY), (10.0, 0), (20.0, BUSY)) == [
        Plan(True, POLL),
        Plan(False, BACKSTOP),
        Plan(True, POLL),
    ]
