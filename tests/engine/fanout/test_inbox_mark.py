"""The inbox id from which all daemons read."""

from dispatcher.engine.fanout.inbox_mark import MARK_AGE_SECONDS, MARK_READ_EVERY_SECONDS, InboxMark

START = 1000.0


def test_the_mark_stays_in_the_first_minute() -> None:
    mark = InboxMark()
    assert mark.due(START) == 0
    for second in range(int(MARK_AGE_SECONDS)):
        mark.note_taken(second, START + second)
        assert not mark.due(START + second)


def test_ids_taken_a_minute_ago_are_proposed_at_most_once_a_second() -> None:
    mark = InboxMark()
    proposed = []
    for tenth in range(2000):
        now = START + tenth / 10
        mark.note_taken(1000 + tenth, now)
        if target := mark.due(now):
            mark.note(target)
            proposed.append((now, target))
    assert proposed[0] == (START + MARK_AGE_SECONDS, 1000)
    assert 130 <= len(proposed) <= 140


def test_an_unmoved_mark_is_read_every_ten_seconds() -> None:
    mark = InboxMark()
    times = [t for t in range(60) if mark.due(START + t) is not None]
    assert times == list(range(0, 60, int(MARK_READ_EVERY_SECONDS)))


def test_one_id_a_second_is_remembered() -> None:
    mark = InboxMark()
    for n in range(10_000):
        mark.note_taken(n, START + n / 1000)
    assert len(mark._taken_at) == 10


def test_no_more_than_a_minute_is_remembered_if_the_mark_is_never_moved() -> None:
    mark = InboxMark()
    for second in range(10_000):
        mark.note_taken(second, START + second)
    assert len(mark._taken_at) <= MARK_AGE_SECONDS + 1


def test_a_clock_set_back_takes_the_mark_back() -> None:
    mark = InboxMark()
    mark.note_taken(1_000_000, START)
    assert mark.due(START + MARK_AGE_SECONDS) == 1_000_000
    mark.note(1_000_000)
    mark.note(500)
    assert mark.after_id == 500
    assert mark.due(START + 2 * MARK_AGE_SECONDS) == 0
