"""Which environments' events are fanned out next, and from where in the inbox."""

from dispatcher.engine.fanout.fairness import (
    REREAD_SECONDS,
    FanoutFairness,
    Slice,
)
from dispatcher.engine.fanout.inbox_sweep import ROUND_EVERY_SECONDS

START = 1000.0
LIMIT = 10


class Inbox:
    """Environments' events, as a statement of at most LIMIT takes them. Ids are list positions."""

    def __init__(self, events: str) -> None:
        self.rows = dict(enumerate(events, start=1))
        self.taken: list[str] = []

    def take(self, fairness: FanoutFairness, now: float = START) -> Slice:
        slice_ = fairness.next_slice(now)
        seen = [
            i
            for i, e in self.rows.items()
            if i > slice_.after_id and e not in slice_.excluded_environments
        ][:LIMIT]
        parts = {e: sum(self.rows[i] == e for i in seen) for e in {self.rows[i] for i in seen}}
        end = max(self.rows, default=None)
        self.taken.append("".join(self.rows.pop(i) for i in seen))
        more = len(seen) == LIMIT
        fairness.note_taken(
            slice_,
            last_id=seen[-1] if more else end,
            more=more,
            crowding=[e for e, n in parts.items() if n >= len(seen) / len(parts)],
            now=now,
        )
        return slice_


def test_other_environments_come_second_behind_a_flood() -> None:
    inbox, fairness = Inbox("a" * 100 + "b" * 3), FanoutFairness()
    for _ in range(2):
        inbox.take(fairness)
    assert inbox.taken == ["a" * 10, "bbb"]


def test_after_the_others_all_environments_are_next_again() -> None:
    inbox, fairness = Inbox("a" * 25 + "b" * 3), FanoutFairness()
    for _ in range(6):
        inbox.take(fairness)
    assert inbox.taken == ["a" * 10, "bbb", "a" * 10, "", "a" * 5, ""]


def test_two_floods_alternate_with_all_others() -> None:
    inbox, fairness = Inbox("a" * 100 + "b" * 100 + "c" * 3), FanoutFairness()
    for _ in range(6):
        inbox.take(fairness)
    assert inbox.taken == ["a" * 10, "b" * 10, "ccc", "a" * 10, "b" * 10, ""]


def test_an_environment_with_a_small_part_is_not_excluded() -> None:
    inbox, fairness = Inbox(("a" * 8 + "bb") + ("a" * 8 + "bb") * 5), FanoutFairness()
    for _ in range(2):
        inbox.take(fairness)
    assert inbox.taken == ["aaaaaaaabb", "b" * 10]


def test_a_flood_is_passed_once_and_read_from_its_start_after_the_reread_time() -> None:
    fairness = FanoutFairness()
    fairness.note_taken(
        fairness.next_slice(START), last_id=10, more=True, crowding=["a"], now=START
    )
    assert fairness.next_slice(START) == Slice(("a",), after_id=0)
    fairness.note_taken(Slice(("a",), after_id=0), last_id=500, more=False, crowding=[], now=START)
    fairness.note_taken(
        fairness.next_slice(START), last_id=20, more=True, crowding=["a"], now=START
    )
    assert fairness.next_slice(START + 0.5) == Slice(("a",), after_id=500)
    assert fairness.next_slice(START + REREAD_SECONDS) == Slice(("a",), after_id=0)


def test_a_flood_is_read_on_from_where_a_statement_stopped() -> None:
    fairness = FanoutFairness()
    fairness.note_taken(
        fairness.next_slice(START), last_id=10, more=True, crowding=["a"], now=START
    )
    fairness.note_taken(fairness.next_slice(START), last_id=500, more=False, crowding=[], now=START)
    assert fairness.next_slice(START + 0.5) == Slice((), after_id=10)
    fairness.note_taken(Slice((), after_id=10), last_id=20, more=True, crowding=[], now=START)
    assert fairness.next_slice(START + 0.5) == Slice((), after_id=20)
    assert fairness.next_slice(START + REREAD_SECONDS) == Slice((), after_id=0)


def test_the_backstop_looks_above_what_was_taken_of_a_flood() -> None:
    inbox, fairness = Inbox("a" * 15), FanoutFairness()
    for after_id in (0, 10, 10, 0):
        assert fairness.read_after == after_id
        inbox.take(fairness)


def test_when_all_is_taken_the_inbox_is_read_from_its_beginning() -> None:
    fairness = FanoutFairness()
    fairness.note_taken(fairness.next_slice(START), last_id=10, more=True, crowding=[], now=START)
    fairness.note_taken(fairness.next_slice(START), last_id=15, more=False, crowding=[], now=START)
    assert fairness.next_slice(START) == Slice((), after_id=0)


def test_an_event_is_oversized_in_its_slice_only_until_it_is_finished() -> None:
    fairness = FanoutFairness()
    first = fairness.next_slice(START)
    assert not first.oversized
    fairness.mark_oversized(first)
    first = fairness.next_slice(START)
    assert first.oversized
    fairness.note_taken(first, last_id=None, more=True, crowding=["a"], now=START)
    second = fairness.next_slice(START)
    assert (second.excluded_environments, second.oversized) == (("a",), False)
    fairness.note_taken(second, last_id=None, more=False, crowding=[], now=START)
    assert fairness.next_slice(START).oversized
    fairness.finish_oversized(first)
    assert not fairness.next_slice(START).oversized


# The mark


def test_a_daemon_starts_where_the_others_are() -> None:
    fairness = FanoutFairness()
    assert fairness.mark_due(START) == (0, 0)
    fairness.note_mark(700)
    fairness.next_slice(START)  # a search below
    assert fairness.next_slice(START) == Slice((), after_id=700)


# What was committed late


def marked() -> FanoutFairness:
    fairness = FanoutFairness()
    fairness.note_mark(700)
    return fairness


def test_a_search_below_the_mark_comes_between_other_slices_every_ten_seconds() -> None:
    fairness = marked()
    late = fairness.next_slice(START)
    assert (late.only_search, late.after_id, late.up_to_id) == (True, 0, 700)
    fairness.note_search(late, None, 0.0)
    for tenth in range(99):
        assert not fairness.next_slice(START + tenth / 10).only_search
    assert any(fairness.next_slice(START + ROUND_EVERY_SECONDS + n).only_search for n in range(2))


def test_an_event_found_by_a_search_is_taken_next_within_its_piece() -> None:
    fairness = marked()
    fairness.note_search(fairness.next_slice(START), 123, 0.0)
    slice_ = fairness.next_slice(START)
    assert slice_ == Slice((), after_id=122, up_to_id=700, found_by_search=True)
    fairness.note_taken(slice_, last_id=200, more=True, crowding=["a"], now=START)
    assert fairness.next_slice(START) == Slice(("a",), after_id=700)
    fairness.note_taken(
        Slice(("a",), after_id=700), last_id=None, more=False, crowding=[], now=START
    )
    slice_ = fairness.next_slice(START)
    assert (slice_.after_id, slice_.up_to_id) == (200, 700)
    fairness.note_taken(slice_, last_id=None, more=False, crowding=[], now=START)
    assert not fairness.next_slice(START).found_by_search


def test_a_part_without_events_is_not_read_again() -> None:
    fairness = FanoutFairness()
    slice_ = fairness.next_slice(START)
    fairness.note_lookup_timeout()
    assert fairness.lookup_limit(slice_) < slice_.up_to_id
    fairness.note_empty(slice_, 5000)
    assert [
        fairness.next_slice(START + n)
        for n in range(3)
        if not fairness.next_slice(START + n).only_search
    ]
    assert fairness._start_id == 5000


def test_an_isolated_event_is_a_slice_of_its_own() -> None:
    fairness = FanoutFairness()
    assert not fairness.next_slice(START).is_one_event
    fairness.isolate(42)
    slice_ = fairness.next_slice(START)
    assert (slice_.after_id, slice_.up_to_id, slice_.is_one_event) == (41, 42, True)
    fairness.mark_oversized(slice_)
    assert fairness.next_slice(START).oversized
    fairness.note_taken(fairness.next_slice(START), last_id=42, more=True, crowding=[], now=START)
    assert not fairness.next_slice(START).is_one_event
