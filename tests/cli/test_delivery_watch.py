"""Which deliveries `dispatcher tail` tells of."""

from datetime import UTC, datetime, timedelta

from dispatcher.cli.delivery_watch import (
    GRACE,
    OVERLAP,
    PENDING_LIMIT,
    RECHECK,
    RECHECKS_PER_SECOND,
    AttemptCounts,
    Watch,
)
from dispatcher.client import Resource

NOON = datetime(2026, 2, 26, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def delivery(
    id_: str, made: float, *, ended: float | None = None, due: float | None = None
) -> Resource:
    def text(seconds: float | None) -> str | None:
        return None if seconds is None else at(seconds).isoformat()

    return Resource(
        {
            "id": id_,
            "status": "PENDING" if ended is None else "DELIVERED",
            "createdAt": text(made),
            "endedAt": text(ended),
            "nextRetryAt": text(due),
        }
    )


def ids(items: list[Resource]) -> list[str]:
    return [item.id for item in items]


def test_each_end_is_returned_once_in_order() -> None:
    watch = Watch()
    listed = [delivery("c", 3, ended=3.5), delivery("b", 2, ended=9), delivery("a", 1, ended=4)]
    assert ids(watch.ended_among(listed, at(9))) == ["c", "a", "b"]
    watch.note_listed(listed)
    assert watch.ended_among(listed, at(10)) == []


def test_a_second_end_is_returned_if_the_delivery_was_seen_pending_again() -> None:
    watch = Watch()
    assert ids(watch.ended_among([delivery("a", 1, ended=2)], at(2))) == ["a"]
    assert watch.ended_among([delivery("a", 1, due=3)], at(3)) == []
    assert ids(watch.ended_among([delivery("a", 1, ended=4)], at(4))) == ["a"]


def test_deliveries_made_shortly_before_the_newest_are_still_listed() -> None:
    watch = Watch()
    watch.note_listed([delivery("b", 100, ended=100)])
    assert watch.since == at(100) - OVERLAP
    late = delivery("a", 98, ended=99)
    assert ids(watch.ended_among([late], at(101))) == ["a"]


def test_an_empty_listing_leaves_the_start_of_the_watch_unchanged() -> None:
    watch = Watch()
    watch.note_listed([delivery("a", 100)])
    since = watch.since
    watch.note_listed([])
    assert watch.since == since


def test_a_pending_delivery_is_read_again_when_it_may_have_ended() -> None:
    watch = Watch()
    assert watch.ended_among([delivery("a", 0, due=0.5)], at(0)) == []
    assert watch.due(at(0.5)) == []
    assert watch.due(at(0.5) + GRACE) == ["a"]
    assert watch.due(at(100)) == []
    assert watch.ended_among([delivery("a", 0, due=100.5)], at(100)) == []
    assert watch.due(at(100.5) + GRACE) == ["a"]
    assert ids(watch.ended_among([delivery("a", 0, ended=100)], at(102))) == ["a"]


def test_a_delivery_cancelled_long_before_its_next_attempt_is_returned() -> None:
    watch = Watch()
    watch.ended_among([delivery("a", 0, due=3600)], at(0))
    assert watch.due(at(0) + RECHECK) == ["a"]
    assert watch.ended_among([delivery("a", 0, due=3600)], at(2)) == []
    assert watch.due(at(2) + RECHECK) == ["a"]
    assert ids(watch.ended_among([delivery("a", 0, ended=3)], at(4))) == ["a"]


def test_very_many_pending_deliveries_are_read_again_less_often() -> None:
    watch = Watch()
    watch.ended_among((delivery(str(n), 0, due=3600) for n in range(1000)), at(0))
    for second in range(1, 1000 // RECHECKS_PER_SECOND):
        assert len(watch.due(at(second))) <= RECHECKS_PER_SECOND * RECHECK.total_seconds() + 1


def test_an_overdue_delivery_is_read_again_repeatedly() -> None:
    watch = Watch()
    for second in range(0, 10, 2):
        watch.ended_among([delivery("a", 0, due=0)], at(second))
        assert watch.due(at(second) + GRACE) == ["a"]


def test_a_delivery_listed_as_ended_is_not_read_again() -> None:
    watch = Watch()
    watch.ended_among([delivery("a", 0)], at(0))
    assert ids(watch.ended_among([delivery("a", 0, ended=1)], at(1))) == ["a"]
    assert watch.due(at(100)) == []


def test_returned_deliveries_are_forgotten_once_no_longer_listed() -> None:
    watch = Watch()
    for second in range(1000):
        item = delivery(str(second), second, ended=second)
        assert ids(watch.ended_among([item], at(second))) == [item.id]
        watch.note_listed([item])
    assert len(watch._returned) <= OVERLAP.total_seconds() + 1


def test_the_number_of_watched_pending_deliveries_is_limited() -> None:
    watch = Watch()
    watch.ended_among((delivery(str(n), 0) for n in range(PENDING_LIMIT + 10)), at(0))
    assert len(watch.due(at(PENDING_LIMIT))) == PENDING_LIMIT


def test_each_attempt_is_new_once() -> None:
    counts = AttemptCounts()
    seen = [counts.first_new(Resource({"id": "dlv_1", "attempts": n})) for n in (0, 1, 1, 4, 3, 4)]
    assert seen == [None, 1, None, 2, None, None]


def test_counts_of_attempts_cannot_fill_the_memory() -> None:
    counts = AttemptCounts()
    for number in range(PENDING_LIMIT + 1):
        counts.first_new(Resource({"id": f"dlv_{number}", "attempts": 1}))
    assert counts.first_new(Resource({"id": f"dlv_{PENDING_LIMIT}", "attempts": 1})) is None
    assert counts.first_new(Resource({"id": "dlv_0", "attempts": 1})) == 1
