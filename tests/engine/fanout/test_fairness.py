"""Which environments' events are fanned out next."""

from dataclasses import replace

from dispatcher.engine.fanout.fairness import EXCLUDED_LIMIT, NEWEST_IDS, FairOrder, Slice
from dispatcher.engine.fanout.reread import RECENT_IDS, REREAD_SECONDS, REST_FACTOR

START = 1000.0
LIMIT = 10


class Inbox:
    """Environments' events, as a statement of at most LIMIT takes them. Ids are list positions."""

    def __init__(self, events: str) -> None:
        self.rows = dict(enumerate(events, start=1))
        self.taken: list[str] = []

    def take(self, order: FairOrder, now: float = START) -> Slice:
        slice_ = order.next_slice(now)
        seen = [
            i
            for i, e in self.rows.items()
            if i > slice_.after_id and e not in slice_.excluded_environments
        ][:LIMIT]
        parts = {e: sum(self.rows[i] == e for i in seen) for e in {self.rows[i] for i in seen}}
        end = max(self.rows, default=None)
        self.taken.append("".join(self.rows.pop(i) for i in seen))
        more = len(seen) == LIMIT
        order.note_taken(
            slice_,
            last_id=seen[-1] if more else end,
            more=more,
            crowding=[e for e, n in parts.items() if n >= len(seen) / len(parts)],
        )
        return slice_


def test_other_environments_come_second_behind_a_flood() -> None:
    inbox, order = Inbox("a" * 100 + "b" * 3), FairOrder()
    for _ in range(2):
        inbox.take(order)
    assert inbox.taken == ["a" * 10, "bbb"]


def test_after_the_others_all_environments_are_next_again() -> None:
    inbox, order = Inbox("a" * 25 + "b" * 3), FairOrder()
    for _ in range(6):
        inbox.take(order)
    assert inbox.taken == ["a" * 10, "bbb", "a" * 10, "", "a" * 5, ""]


def test_two_floods_alternate_with_all_others() -> None:
    inbox, order = Inbox("a" * 100 + "b" * 100 + "c" * 3), FairOrder()
    for _ in range(6):
        inbox.take(order)
    assert inbox.taken == ["a" * 10, "b" * 10, "ccc", "a" * 10, "b" * 10, ""]


def test_an_environment_with_a_small_part_is_not_excluded() -> None:
    inbox, order = Inbox(("a" * 8 + "bb") + ("a" * 8 + "bb") * 5), FairOrder()
    for _ in range(2):
        inbox.take(order)
    assert inbox.taken == ["aaaaaaaabb", "b" * 10]


def passed(*, up_to: int) -> FairOrder:
    """Return an order where all up to this id was taken, except of `a`."""
    order = FairOrder()
    order.note_taken(order.next_slice(START), last_id=10, more=True, crowding=["a"])
    assert order.next_slice(START) == Slice(("a",), after_id=0)
    order.note_taken(Slice(("a",), after_id=0), last_id=up_to, more=False, crowding=[])
    assert others(order, START) == Slice(("a",), after_id=up_to)
    order.note_taken(Slice(("a",), after_id=up_to), last_id=up_to, more=False, crowding=[])
    return order


def others(order: FairOrder, now: float) -> Slice:
    """Take a batch of the flood, and return the slice that follows."""
    order.exclude_none()
    order.note_taken(order.next_slice(now), last_id=20, more=True, crowding=["a"])
    return order.next_slice(now)


def test_a_flood_is_passed_once_and_read_from_its_start_after_the_reread_time() -> None:
    order = passed(up_to=500)
    usual = others(order, START + 0.5)
    assert usual == Slice(("a",), after_id=500)
    order.note_taken(usual, last_id=500, more=False, crowding=[])
    reread = others(order, START + 0.5 + REREAD_SECONDS)
    assert (reread.after_id, reread.up_to_id, reread.kind) == (0, 500, "reread")


def test_new_events_do_not_wait_until_a_flood_was_read_again() -> None:
    """Not even if each batch of the flood takes so long that there is always something to reread."""
    order = passed(up_to=500)
    for n in range(5):
        moment = START + 1 + n
        reread = others(order, moment)
        assert (reread.after_id, reread.kind) == (20 * n, "reread")
        order.note_taken(reread, last_id=20 * n + 20, more=False, crowding=[])
        usual = order.next_slice(moment)
        assert usual == Slice(("a",), after_id=500 + n)
        order.note_taken(usual, last_id=501 + n, more=False, crowding=[])
        assert order.next_slice(moment).excluded_environments == ()


def test_a_part_that_was_long_to_read_again_is_followed_by_a_rest() -> None:
    order = passed(up_to=500)
    order.note_taken(others(order, START + 1), last_id=20, more=False, crowding=[])
    usual = others(order, START + 2)
    assert usual.kind == "usual"
    order.note_taken(usual, last_id=500, more=False, crowding=[])
    usual = others(order, START + 2 + REST_FACTOR - 0.1)
    assert usual.kind == "usual"
    order.note_taken(usual, last_id=500, more=False, crowding=[])
    assert others(order, START + 2 + REST_FACTOR).kind == "reread"


def test_the_newest_ids_are_read_again_in_rounds_of_their_own() -> None:
    reached = 10 * RECENT_IDS
    order, pieces = passed(up_to=reached), []
    for n in range(1, 7):
        slice_ = others(order, START + n)
        assert slice_.kind == "reread"
        pieces.append((slice_.after_id, slice_.up_to_id))
        read_up_to = None if slice_.up_to_id == reached else slice_.after_id + 7
        order.note_taken(slice_, last_id=read_up_to, more=False, crowding=[])
        order.note_taken(order.next_slice(START + n), last_id=None, more=False, crowding=[])
    border = reached - RECENT_IDS
    assert [piece for piece in pieces if piece[1] == reached] == [(border, reached)] * 3
    assert [piece for piece in pieces if piece[1] != reached] == [
        (0, border),
        (7, border),
        (14, border),
    ]


def test_what_was_passed_counts_for_longer_lists_of_excluded_environments_too() -> None:
    order = passed(up_to=500)
    order.note_taken(others(order, START), last_id=520, more=True, crowding=["b"])
    assert order.next_slice(START) == Slice(("a", "b"), after_id=520)


def test_a_list_is_the_same_in_whatever_order_its_environments_came() -> None:
    """So what was passed is read again: not at once, and in turn with what is new."""
    order, kinds = FairOrder(), []
    for n, crowding in enumerate(("abc", "cab", "bca", "acb")):
        order.exclude_none()
        now = START + n * (REREAD_SECONDS + REST_FACTOR)
        for name in crowding:
            usual = Slice(order.next_slice(now).excluded_environments, 0)
            order.note_taken(usual, last_id=20, more=True, crowding=[name])
        last = order.next_slice(now)
        kinds.append(last.kind)
        order.note_taken(last, last_id=500, more=False, crowding=[], newest=500)
    assert kinds == ["usual", "usual", "reread", "usual"]


def test_with_too_many_floods_all_environments_are_next_again() -> None:
    order = FairOrder()
    names = [f"flood{n}" for n in range(EXCLUDED_LIMIT + 1)]
    for crowding in (names[:-1], names[-1:]):
        order.note_taken(order.next_slice(START), last_id=20, more=True, crowding=crowding)
    assert order.next_slice(START).excluded_environments == ()


# The newest events, while a flood is passed

NEWEST = 10 * NEWEST_IDS


def test_the_newest_events_are_looked_at_until_a_flood_was_passed() -> None:
    order = FairOrder()
    first = others(order, START)
    order.note_taken(first, last_id=100, more=False, crowding=[], newest=NEWEST)
    newest = order.next_slice(START)
    assert newest == Slice(("", "a"), after_id=NEWEST - NEWEST_IDS)
    order.note_taken(newest, last_id=NEWEST, more=False, crowding=[], newest=NEWEST)
    second = others(order, START)
    assert second == Slice(("a",), after_id=100)
    order.note_taken(second, last_id=200, more=False, crowding=[], newest=NEWEST + 9)
    newest = order.next_slice(START)
    assert newest == Slice(("", "a"), after_id=NEWEST)
    order.note_taken(newest, last_id=NEWEST + 9, more=False, crowding=[], newest=NEWEST + 9)
    last = others(order, START)
    order.note_taken(last, last_id=NEWEST + 9, more=False, crowding=[], newest=NEWEST + 9)
    assert order.next_slice(START) == Slice((), after_id=20)
    assert others(order, START) == Slice(("a",), after_id=NEWEST + 9)


def test_a_flood_is_passed_for_half_of_the_time() -> None:
    order = FairOrder()
    order.note_taken(others(order, START), last_id=100, more=False, crowding=[], newest=NEWEST)
    order.exclude_none()
    order.note_taken(others(order, START), last_id=200, more=False, crowding=[], newest=NEWEST)
    newest = order.next_slice(START + 0.3)
    for _ in range(3):
        assert newest.excluded_environments == ("", "a")
        order.note_taken(newest, last_id=NEWEST, more=False, crowding=[], newest=NEWEST)
        newest = others(order, START + 0.59)
    order.note_taken(newest, last_id=NEWEST, more=False, crowding=[], newest=NEWEST)
    assert others(order, START + 0.61) == Slice(("a",), after_id=200)


def test_other_environments_with_many_newest_events_alternate_too() -> None:
    order = FairOrder()
    order.note_taken(others(order, START), last_id=9, more=False, crowding=[], newest=NEWEST)
    newest = order.next_slice(START)
    order.note_taken(newest, last_id=NEWEST - 5, more=True, crowding=["b"])
    assert order.next_slice(START) == Slice(("", "a", "b"), after_id=NEWEST - 5)


def test_what_was_passed_over_because_of_its_order_is_read_again_first() -> None:
    """Otherwise later events of these environments would come before the earlier ones."""
    order = FairOrder()
    first = others(order, START)
    order.note_taken(first, last_id=100, more=False, crowding=[], newest=100, is_unordered=True)
    without = order.next_slice(START)
    assert without.excluded_environments == ("", "a")
    order.note_taken(without, last_id=100, more=False, crowding=[], newest=100)
    assert others(order, START) == first


def test_an_oversized_event_that_is_read_again_is_finished_first() -> None:
    order = passed(up_to=500)
    reread = others(order, START + 1)
    order.mark_oversized(reread)
    again = order.next_slice(START + 1)
    assert again == replace(reread, is_oversized=True)
    order.note_taken(again, last_id=None, more=True, crowding=["b"])
    assert order.next_slice(START + 1).excluded_environments == ("a", "b")
    order.exclude_none()
    assert others(order, START + 1) == again
    order.finish_oversized(again)
    assert not order.next_slice(START + 1).is_oversized


def test_a_flood_is_read_on_from_where_a_statement_stopped() -> None:
    order = FairOrder()
    order.note_taken(order.next_slice(START), last_id=10, more=True, crowding=["a"])
    order.note_taken(order.next_slice(START), last_id=500, more=False, crowding=[])
    assert order.next_slice(START + 0.5) == Slice((), after_id=10)
    order.note_taken(Slice((), after_id=10), last_id=20, more=True, crowding=[])
    assert order.next_slice(START + 0.5) == Slice((), after_id=20)
    assert order.next_slice(START + REREAD_SECONDS) == Slice((), after_id=0)


def test_when_all_is_taken_the_inbox_is_read_from_its_beginning() -> None:
    order = FairOrder()
    order.note_taken(order.next_slice(START), last_id=10, more=True, crowding=[])
    order.note_taken(order.next_slice(START), last_id=15, more=False, crowding=[])
    assert order.next_slice(START) == Slice((), after_id=0)


def test_an_event_is_oversized_in_its_slice_only_until_it_is_finished() -> None:
    order = FairOrder()
    first = order.next_slice(START)
    assert not first.is_oversized
    order.mark_oversized(first)
    first = order.next_slice(START)
    assert first.is_oversized
    order.note_taken(first, last_id=None, more=True, crowding=["a"])
    second = order.next_slice(START)
    assert (second.excluded_environments, second.is_oversized) == (("a",), False)
    order.note_taken(second, last_id=None, more=False, crowding=[])
    assert order.next_slice(START).is_oversized
    order.finish_oversized(first)
    assert not order.next_slice(START).is_oversized


def test_late_commits_of_a_large_transaction_take_turns_with_a_flood() -> None:
    inbox, order, now = Inbox(""), FairOrder(), START
    inbox.rows = {2 * i: "a" for i in range(1, 3_000)}
    for _ in range(20):
        inbox.take(order, now)
        now += 0.01
    late = {2 * i + 1: "b" for i in range(2_900, 2_940)}
    inbox.rows = dict(sorted({**inbox.rows, **late}.items()))
    with_b = []
    for number in range(300):
        inbox.take(order, now)
        now += 0.01
        if "b" in inbox.taken[-1]:
            with_b.append(number)
    assert "b" not in inbox.rows.values()
    assert with_b[-1] - with_b[0] <= 20


def test_nothing_counts_as_passed_while_another_daemon_holds_the_order() -> None:
    order = FairOrder()
    for after_id in (0, 0):
        slice_ = order.next_slice(START)
        assert slice_ == Slice((), after_id)
        order.note_taken(slice_, last_id=500, more=True, crowding=(), is_unordered=True)
    order.note_taken(order.next_slice(START), last_id=500, more=True, crowding=())
    assert order.next_slice(START) == Slice((), 500)
