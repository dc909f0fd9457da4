"""Which environments' events are fanned out next."""

from dispatcher.engine.fanout.fairness import REREAD_SECONDS, FairOrder, Slice

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


def test_a_flood_is_passed_once_and_read_from_its_start_after_the_reread_time() -> None:
    order = FairOrder()
    order.note_taken(order.next_slice(START), last_id=10, more=True, crowding=["a"])
    assert order.next_slice(START) == Slice(("a",), after_id=0)
    order.note_taken(Slice(("a",), after_id=0), last_id=500, more=False, crowding=[])
    order.note_taken(order.next_slice(START), last_id=20, more=True, crowding=["a"])
    assert order.next_slice(START + 0.5) == Slice(("a",), after_id=500)
    assert order.next_slice(START + REREAD_SECONDS) == Slice(("a",), after_id=0)


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
