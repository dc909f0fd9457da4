"""Whose events are fanned out next, and from where in the inbox."""

from dispatcher.engine.fanout_fairness import (
    LOOK_AGAIN_EVERY,
    SWEEP_EVERY,
    WATERMARK_AGE,
    Turn,
    Turns,
    Watermark,
)

START = 1000.0
LIMIT = 10


class Inbox:
    """Environments' events, as a statement of at most LIMIT takes them. Ids are list positions."""

    def __init__(self, events: str) -> None:
        self.rows = dict(enumerate(events, start=1))
        self.taken: list[str] = []

    def take(self, turns: Turns, now: float = START) -> Turn:
        turn = turns.next(now)
        seen = [i for i, e in self.rows.items() if i > turn.above and e not in turn.without][:LIMIT]
        parts = {e: sum(self.rows[i] == e for i in seen) for e in {self.rows[i] for i in seen}}
        end = max(self.rows, default=None)
        self.taken.append("".join(self.rows.pop(i) for i in seen))
        more = len(seen) == LIMIT
        turns.took(
            turn,
            last=seen[-1] if more else end,
            more=more,
            crowding=[e for e, n in parts.items() if n >= len(seen) / len(parts)],
            now=now,
        )
        return turn


def test_behind_a_flood_the_others_come_second() -> None:
    inbox, turns = Inbox("a" * 100 + "b" * 3), Turns()
    for _ in range(2):
        inbox.take(turns)
    assert inbox.taken == ["a" * 10, "bbb"]


def test_after_the_others_it_is_everybodys_turn_again() -> None:
    inbox, turns = Inbox("a" * 25 + "b" * 3), Turns()
    for _ in range(6):
        inbox.take(turns)
    assert inbox.taken == ["a" * 10, "bbb", "a" * 10, "", "a" * 5, ""]


def test_two_floods_take_turns_with_everybody_else() -> None:
    inbox, turns = Inbox("a" * 100 + "b" * 100 + "c" * 3), Turns()
    for _ in range(6):
        inbox.take(turns)
    assert inbox.taken == ["a" * 10, "b" * 10, "ccc", "a" * 10, "b" * 10, ""]


def test_the_small_part_of_a_crowd_is_not_passed_over() -> None:
    inbox, turns = Inbox(("a" * 8 + "bb") + ("a" * 8 + "bb") * 5), Turns()
    for _ in range(2):
        inbox.take(turns)
    assert inbox.taken == ["aaaaaaaabb", "b" * 10]


def test_a_flood_is_read_through_once_and_again_after_a_while() -> None:
    turns = Turns()
    turns.took(turns.next(START), last=10, more=True, crowding=["a"], now=START)
    assert turns.next(START) == Turn(("a",), above=0)
    turns.took(Turn(("a",), above=0), last=500, more=False, crowding=[], now=START)
    turns.took(turns.next(START), last=20, more=True, crowding=["a"], now=START)
    assert turns.next(START + 0.5) == Turn(("a",), above=500)
    assert turns.next(START + LOOK_AGAIN_EVERY) == Turn(("a",), above=0)


def test_a_flood_is_read_on_from_where_a_statement_stopped() -> None:
    turns = Turns()
    turns.took(turns.next(START), last=10, more=True, crowding=["a"], now=START)
    turns.took(turns.next(START), last=500, more=False, crowding=[], now=START)
    assert turns.next(START + 0.5) == Turn((), above=10)
    turns.took(Turn((), above=10), last=20, more=True, crowding=[], now=START)
    assert turns.next(START + 0.5) == Turn((), above=20)
    assert turns.next(START + LOOK_AGAIN_EVERY) == Turn((), above=0)


def test_when_all_is_taken_the_inbox_is_read_from_its_beginning() -> None:
    turns = Turns()
    turns.took(turns.next(START), last=10, more=True, crowding=[], now=START)
    turns.took(turns.next(START), last=15, more=False, crowding=[], now=START)
    assert turns.next(START) == Turn((), above=0)


def test_a_wide_event_is_wide_in_its_turn_only_and_until_it_is_done() -> None:
    turns = Turns()
    first = turns.next(START)
    assert not first.wide
    turns.widen(first)
    first = turns.next(START)
    assert first.wide
    turns.took(first, last=None, more=True, crowding=["a"], now=START)
    second = turns.next(START)
    assert (second.without, second.wide) == (("a",), False)
    turns.took(second, last=None, more=False, crowding=[], now=START)
    assert turns.next(START).wide
    turns.done(first)
    assert not turns.next(START).wide


# ── the watermark ───────────────────────────────────────────────────────────────────────────────


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


def test_a_clock_set_back_hides_nothing_for_longer_than_a_sweep_takes() -> None:
    watermark = swept(START)
    watermark.seen(1_000_000, START)
    now = START + WATERMARK_AGE + 1
    while watermark.above(now) != 1_000_000:
        now += 0.1
    watermark.seen(500, now)  # a sweep found it
    assert watermark.above(now) == 0
