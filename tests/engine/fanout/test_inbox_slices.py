"""From where in the inbox events are taken: above its mark, and what a search finds below it."""

from dispatcher.core.ids import LARGEST_ID, TIME_SHIFT
from dispatcher.engine.fanout.fairness import Slice
from dispatcher.engine.fanout.inbox_slices import InboxSlices
from dispatcher.engine.fanout.inbox_sweep import ROUND_EVERY_SECONDS

START = 1000.0


def test_the_backstop_looks_above_what_was_taken_of_a_flood() -> None:
    slices = InboxSlices()
    for after_id, last_id, more in (
        (0, 10, True),
        (10, 15, False),
        (10, 15, False),
        (0, 15, False),
    ):
        assert slices.read_after == after_id
        slice_ = slices.next_slice(START)
        slices.note_taken(slice_, last_id=last_id, more=more, crowding=["a"], now=START)


# The mark


def test_a_daemon_starts_where_the_others_are() -> None:
    slices = InboxSlices()
    assert slices.mark_due(START) == (0, 0)
    slices.note_mark(700)
    slices.next_slice(START)  # a search below
    assert slices.next_slice(START) == Slice((), after_id=700)


# What was committed late


def marked() -> InboxSlices:
    slices = InboxSlices()
    slices.note_mark(700)
    return slices


def test_a_search_below_the_mark_comes_between_other_slices_every_ten_seconds() -> None:
    slices = marked()
    late = slices.next_slice(START)
    assert (late.kind, late.after_id, late.up_to_id) == ("search", 0, 700)
    slices.note_search(late, None, 0.0)
    for tenth in range(99):
        assert slices.next_slice(START + tenth / 10).kind != "search"
    assert any(
        slices.next_slice(START + ROUND_EVERY_SECONDS + n).kind == "search" for n in range(2)
    )


def test_an_event_found_by_a_search_is_taken_next_within_its_piece() -> None:
    slices = marked()
    slices.note_search(slices.next_slice(START), 123, 0.0)
    slice_ = slices.next_slice(START)
    assert slice_ == Slice((), after_id=122, up_to_id=700, kind="found")
    slices.note_taken(slice_, last_id=200, more=True, crowding=["a"], now=START)
    assert slices.next_slice(START) == Slice(("a",), after_id=700)
    slices.note_taken(Slice(("a",), after_id=700), last_id=None, more=False, crowding=[], now=START)
    slice_ = slices.next_slice(START)
    assert (slice_.after_id, slice_.up_to_id) == (200, 700)
    slices.note_taken(slice_, last_id=None, more=False, crowding=[], now=START)
    assert slices.next_slice(START).kind != "found"


def test_what_lies_before_a_lookup_does_not_count_as_empty() -> None:
    """Some of it may wait for a lock, or have been committed late."""
    slices = InboxSlices()
    slices.note_taken(slices.next_slice(START), last_id=700, more=True, crowding=[], now=START)
    slice_ = slices.next_slice(START)
    assert slice_.after_id == 700
    slices.note_empty(slice_, 5000)
    assert slices.next_slice(START).after_id == 0


def test_a_part_without_events_is_not_read_again() -> None:
    slices = InboxSlices()
    slice_ = slices.next_slice(START)
    slices.note_lookup_timeout()
    assert slices.lookup_limit(slice_) < slice_.up_to_id
    slices.note_empty(slice_, 5000)
    assert [
        slices.next_slice(START + n)
        for n in range(3)
        if slices.next_slice(START + n).kind != "search"
    ]
    assert slices._order._start_id == 5000


def test_after_a_timeout_a_lookup_reads_at_most_minutes() -> None:
    slices = marked()
    slice_ = Slice((), after_id=700)
    assert slices.lookup_limit(slice_) == LARGEST_ID
    slices.note_lookup_timeout()
    assert slices.lookup_limit(slice_) <= 700 + (120_000 << TIME_SHIFT)


def test_an_isolated_event_is_a_slice_of_its_own() -> None:
    slices = InboxSlices()
    assert not slices.next_slice(START).is_one_event
    slices.isolate(42)
    slice_ = slices.next_slice(START)
    assert (slice_.after_id, slice_.up_to_id, slice_.is_one_event) == (41, 42, True)
    slices.mark_oversized(slice_)
    assert slices.next_slice(START).is_oversized
    slices.note_taken(slices.next_slice(START), last_id=42, more=True, crowding=[], now=START)
    assert not slices.next_slice(START).is_one_event
