"""Whose events are fanned out next, and from where in the inbox."""

from dispatcher.engine.fanout_fairness import (
    LOOK_AGAIN_EVERY,
    MARK_READ_EVERY_SECONDS,
    WATERMARK_AGE,
    Turn,
    Turns,
    Watermark,
)
from dispatcher.engine.inbox_sweep import ROUND_EVERY_SECONDS

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


def test_nothing_is_passed_over_in_the_first_minute() -> None:
    watermark = Watermark()
    assert watermark.due(START) == 0
    for second in range(int(WATERMARK_AGE)):
        watermark.seen(second, START + second)
        assert not watermark.due(START + second)


def test_ids_taken_a_minute_ago_are_proposed_once_a_second_at_the_most() -> None:
    watermark = Watermark()
    proposed = []
    for tenth in range(2000):
        now = START + tenth / 10
        watermark.seen(1000 + tenth, now)
        if mark := watermark.due(now):
            watermark.marked(mark)
            proposed.append((now, mark))
    assert proposed[0] == (START + WATERMARK_AGE, 1000)
    assert 130 <= len(proposed) <= 140


def test_the_mark_is_read_now_and_then_when_nothing_moves() -> None:
    watermark = Watermark()
    times = [t for t in range(60) if watermark.due(START + t) is not None]
    assert times == list(range(0, 60, int(MARK_READ_EVERY_SECONDS)))


def test_it_remembers_no_more_than_an_id_a_second() -> None:
    watermark = Watermark()
    for n in range(10_000):
        watermark.seen(n, START + n / 1000)
    assert len(watermark._seen) == 10


def test_a_daemon_starts_where_the_others_are() -> None:
    turns = Turns()
    assert turns.mark_due(START) == (0, 0)
    turns.marked(700)
    turns.next(START)  # a search below
    assert turns.next(START) == Turn((), above=700)


def test_a_clock_set_back_takes_the_mark_back() -> None:
    watermark = Watermark()
    watermark.seen(1_000_000, START)
    assert watermark.due(START + WATERMARK_AGE) == 1_000_000
    watermark.marked(1_000_000)
    watermark.marked(500)
    assert watermark.above == 500
    assert watermark.due(START + 2 * WATERMARK_AGE) == 0


# ── what was committed late ─────────────────────────────────────────────────────────────────────


def marked() -> Turns:
    turns = Turns()
    turns.marked(700)
    return turns


def test_a_search_below_the_mark_comes_between_other_turns_every_ten_seconds() -> None:
    turns = marked()
    late = turns.next(START)
    assert (late.late, late.above, late.up_to) == (True, 0, 700)
    turns.searched(late, None, 0.0)
    for tenth in range(99):
        assert not turns.next(START + tenth / 10).late
    assert any(turns.next(START + ROUND_EVERY_SECONDS + n).late for n in range(2))


def test_what_a_search_finds_is_taken_next_and_no_more_than_its_piece() -> None:
    turns = marked()
    turns.searched(turns.next(START), 123, 0.0)
    turn = turns.next(START)
    assert turn == Turn((), above=122, up_to=700, detour=True)
    turns.took(turn, last=200, more=True, crowding=["a"], now=START)
    assert turns.next(START) == Turn(("a",), above=700)
    turns.took(Turn(("a",), above=700), last=None, more=False, crowding=[], now=START)
    turn = turns.next(START)
    assert (turn.above, turn.up_to) == (200, 700)
    turns.took(turn, last=None, more=False, crowding=[], now=START)
    assert not turns.next(START).detour


def test_where_a_stretch_has_no_event_it_is_not_read_again() -> None:
    turns = Turns()
    turn = turns.next(START)
    turns.stretch_timed_out()
    assert turns.stretch(turn) < turn.up_to
    turns.pass_over(turn, 5000)
    assert [turns.next(START + n) for n in range(3) if not turns.next(START + n).late]
    assert turns._bound == 5000


def test_one_event_alone_is_all_a_turn_can_take() -> None:
    turns = Turns()
    assert not turns.next(START).alone
    turns.isolate(42)
    turn = turns.next(START)
    assert (turn.above, turn.up_to, turn.alone) == (41, 42, True)
    turns.widen(turn)
    assert turns.next(START).wide
    turns.took(turns.next(START), last=42, more=True, crowding=[], now=START)
    assert not turns.next(START).alone
