"""How many events a statement looks at, after those that had room for fewer, or timed out."""

from dispatcher.engine.fanout.events_limit import (
    HELD_STATEMENTS,
    LISTS_LIMIT,
    EventsLimit,
    EventsLimits,
)
from dispatcher.engine.fanout.fanout import EVENTS_LIMIT


def test_a_statement_looks_at_twice_as_many_events_as_fitted_before() -> None:
    limit = EventsLimit(EVENTS_LIMIT)
    limit.note_result(EVENTS_LIMIT, seen=EVENTS_LIMIT, chosen=20)
    assert limit.events == 40
    limit.note_result(40, seen=40, chosen=20)
    assert limit.events == 40


def test_statements_whose_events_all_fit_double_the_limit() -> None:
    limit, events = EventsLimit(EVENTS_LIMIT), []
    limit.note_result(EVENTS_LIMIT, seen=EVENTS_LIMIT, chosen=20)
    for _ in range(5):
        limit.note_result(limit.events, seen=limit.events, chosen=limit.events)
        events.append(limit.events)
    assert events == [80, 160, 320, 500, 500]


def test_a_statement_that_saw_fewer_events_says_nothing() -> None:
    limit = EventsLimit(EVENTS_LIMIT)
    limit.note_result(EVENTS_LIMIT, seen=EVENTS_LIMIT, chosen=20)
    for seen in (0, 1, 39):
        limit.note_result(40, seen=seen, chosen=seen)
    assert limit.events == 40


def test_a_first_event_that_is_too_large_does_not_count() -> None:
    limit = EventsLimit(EVENTS_LIMIT)
    limit.note_result(EVENTS_LIMIT, seen=EVENTS_LIMIT, chosen=0)
    limit.note_result(EVENTS_LIMIT, seen=3, chosen=0)
    assert limit.events == EVENTS_LIMIT


def test_after_a_timeout_half_of_the_events_are_tried_for_some_statements() -> None:
    limit = EventsLimit(EVENTS_LIMIT)
    limit.note_timeout(EVENTS_LIMIT)
    for _ in range(HELD_STATEMENTS):
        assert limit.events == 250
        limit.note_result(250, seen=250, chosen=250)
    assert limit.events == 250
    limit.note_result(250, seen=250, chosen=250)
    assert limit.events == EVENTS_LIMIT


def test_timeouts_make_it_smaller_down_to_one_event() -> None:
    limit = EventsLimit(EVENTS_LIMIT)
    for events in (500, 125, 31, 7, 1, 1):
        limit.note_timeout(events)
    assert limit.events == 1


def test_the_large_events_of_one_environment_do_not_limit_those_of_others() -> None:
    limits = EventsLimits(EVENTS_LIMIT)
    limits.of(()).note_result(EVENTS_LIMIT, seen=EVENTS_LIMIT, chosen=2)
    assert (limits.of(()).events, limits.of(("large",)).events) == (4, EVENTS_LIMIT)


def test_the_limits_of_a_bounded_number_of_lists_are_kept() -> None:
    limits = EventsLimits(EVENTS_LIMIT)
    for number in range(LISTS_LIMIT + 1):
        limits.of((str(number),)).note_timeout(8)
    assert (limits.of(("0",)).events, limits.of((str(LISTS_LIMIT),)).events) == (EVENTS_LIMIT, 4)
