"""How many events a fan-out takes, and from where in the inbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.fanout import (
    MOST_DELIVERIES,
    MOST_EVENTS,
    SWEEP_EVERY,
    WATERMARK_AGE,
    BatchSize,
    Watermark,
)


def after(*took: tuple[int, int]) -> BatchSize:
    size = BatchSize()
    for picked, made in took:
        size.took(picked, made)
    return size


@pytest.mark.parametrize(
    ("took", "events"),
    [
        ([], 8),
        ([(8, 8)], 16),
        ([(8, 0)], 16),
        ([(0, 0)], 8),
        ([(8, 8)] * 9, MOST_EVENTS),
        ([(8, 8 * 100)] * 9, 200),
        ([(8, 8 * 10_000)], 2),
        ([(1, 50_000)], 1),
    ],
)
def test_the_number_doubles_up_to_what_the_fan_out_seen_allows(
    took: list[tuple[int, int]], events: int
) -> None:
    assert after(*took).events == events


def test_a_wide_event_is_remembered_for_a_while_and_forgotten_slowly() -> None:
    size = after((8, 8 * 1000))
    seen = [size.events]
    for _ in range(60):
        size.took(size.events, size.events)
        seen.append(size.events)
    assert seen[0] == 16
    assert seen[1] <= 23
    assert sorted(seen) == seen
    assert seen[-1] == MOST_EVENTS


def test_each_timeout_halves_it_and_the_last_one_asks_for_slices() -> None:
    size = BatchSize()
    seen = []
    while not size.sliced:
        seen.append(size.events)
        assert size.too_large()
    assert seen == [8, 4, 2, 1]
    assert size.events == 1


def slicing() -> BatchSize:
    """After timeouts down to one event."""
    size = BatchSize()
    while not size.sliced:
        size.too_large()
    return size


@pytest.mark.parametrize(
    ("picked", "made", "sliced"),
    [
        (0, 5000, True),  # on its way
        (1, 3000, False),  # done
        (0, 0, False),  # nothing to slice after all
    ],
)
def test_slices_go_on_until_the_event_is_done(picked: int, made: int, sliced: bool) -> None:
    size = slicing()
    size.took(picked, made)
    assert size.sliced is sliced
    assert size.events == 1


def test_a_slice_that_takes_too_long_leaves_nothing_to_try() -> None:
    size = slicing()
    assert not size.too_large()
    assert not size.sliced
    assert size.events == 1


@given(st.lists(st.one_of(st.none(), st.integers(0, 30_000)), max_size=60))
def test_no_statement_is_asked_for_more_than_it_should_make(per_event: list[int | None]) -> None:
    """Unless one event alone is more, or nothing warned of it. None is a timeout."""
    size = BatchSize()
    for wide in per_event:
        if wide is None:
            size.too_large()
        elif not size.sliced:
            size.took(size.events, size.events * wide)
            assert size.events == 1 or size.events * wide <= MOST_DELIVERIES
        assert 1 <= size.events <= MOST_EVENTS


# ── the watermark ───────────────────────────────────────────────────────────────────────────────

START = 1000.0


def swept(at: float) -> Watermark:
    """A watermark whose last sweep was then."""
    watermark = Watermark()
    assert watermark.above(at) == 0
    return watermark


def test_nothing_is_passed_over_in_the_first_minute() -> None:
    watermark = swept(START)
    for second in range(int(WATERMARK_AGE)):
        watermark.seen(second, START + second)
        assert watermark.above(START + second) == 0


def test_ids_taken_a_minute_ago_bound_the_look_except_every_ten_seconds() -> None:
    watermark = swept(START)
    bounds = []
    for second in range(200):
        now = START + second
        watermark.seen(1000 + second, now)
        bounds.append(watermark.above(now))
    for second, bound in enumerate(bounds):
        if second and second % SWEEP_EVERY == 0:
            assert bound == 0
        elif second > WATERMARK_AGE:
            assert bound == 1000 + second - WATERMARK_AGE


def test_it_remembers_no_more_than_an_id_a_second() -> None:
    watermark = swept(START)
    for n in range(10_000):
        watermark.seen(n, START + n / 1000)
    assert len(watermark._seen) == 10


def test_looks_that_took_nothing_leave_it_where_it_was() -> None:
    watermark = swept(START)
    watermark.seen(7, START)
    watermark.seen(None, START + 30)
    assert watermark.above(START + 5) == 0
    later = START + WATERMARK_AGE
    watermark.above(later)  # a sweep
    assert watermark.above(later + 1) == 7
    assert watermark.above(later + 9) == 7


def test_it_never_goes_back() -> None:
    """A late commit has a smaller id than those taken before it."""
    watermark = swept(START)
    watermark.seen(100, START)
    watermark.seen(5, START + 2)
    later = START + WATERMARK_AGE + 5
    watermark.above(later)  # a sweep
    assert watermark.above(later + 1) == 100
