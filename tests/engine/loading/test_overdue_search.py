"""Where the table is searched for overdue rows, if millions of ended ones lie there."""

from dispatcher.engine.loading.overdue_search import (
    EVERY_SECONDS,
    OLDER_PAUSE,
    OLDER_SECONDS,
    OverdueSearch,
)

NOW = 1_800_000_000.0
EVER = float("-inf")
TIMEOUT = 2.0
DENSE = 3_600.0
"""The seconds before NOW in which the ended rows became due."""


class Search:
    """A search on a table where passing the rows of a second takes `cost` seconds."""

    def __init__(self, cost: float) -> None:
        self.search = OverdueSearch()
        self.cost = cost
        self.clock = 0.0
        self.read: list[tuple[float, float]] = []
        self.timeouts = 0

    def step(self) -> None:
        part = self.search.next_part(self.clock, NOW + self.clock)
        if part is None:
            self.clock += 0.5
            return
        passed = min(part.before, NOW) - max(part.low, NOW - DENSE)
        seconds = 0.001 + max(0.0, passed) * self.cost
        self.clock += min(seconds, TIMEOUT)
        if seconds > TIMEOUT:
            self.timeouts += 1
            self.search.note_timeout(self.clock, TIMEOUT)
        else:
            self.read.append((part.low, part.before))
            self.search.note_read(self.clock, seconds, has_more=False)

    def run(self, seconds: float) -> None:
        self.read.clear()
        until = self.clock + seconds
        while self.clock < until:
            self.step()

    def covers(self, low: float, high: float) -> bool:
        """Return True if what was read covers all times from `low` to `high`."""
        for begin, end in sorted(self.read):
            if begin <= low:
                low = max(low, end)
        return low >= high


def test_without_ended_rows_each_search_reads_everything() -> None:
    search = Search(0.0)
    search.run(10 * EVERY_SECONDS)
    assert {low for low, _ in search.read} == {EVER}
    assert 9 <= len(search.read) <= 11


def test_a_part_stays_until_it_is_read_completely() -> None:
    search = OverdueSearch()
    part = search.next_part(0.0, NOW)
    search.note_read(0.1, 0.1, has_more=True)
    assert search.next_part(0.2, NOW + 5) == part
    search.note_read(0.3, 0.1, has_more=False)
    assert search.next_part(0.4, NOW + 5) is None


def test_everything_is_searched_however_many_ended_rows_lie_there() -> None:
    search = Search(cost=20 / DENSE)  # 20 s for all of them: ten times the timeout
    search.run(300)
    assert search.covers(EVER, NOW)
    before = search.timeouts
    search.run(600)  # the pieces are known now
    assert search.covers(EVER, NOW)
    assert search.timeouts == before


def test_what_became_due_lately_is_searched_as_often_as_ever() -> None:
    search = Search(cost=20 / DENSE)
    search.run(300)
    search.run(10 * EVERY_SECONDS)
    newest = [high for _, high in search.read if high > NOW]
    assert len(newest) >= 9


def test_older_parts_take_only_a_part_of_the_time() -> None:
    search = Search(cost=20 / DENSE)
    search.run(300)
    search.run(300)
    older = [low for low, high in search.read if high <= NOW]
    assert 0 < len(older) <= 300 / OLDER_SECONDS
    assert OLDER_PAUSE >= 1


def test_one_search_reads_everything_again_after_the_ended_rows_are_gone() -> None:
    search = Search(cost=20 / DENSE)
    search.run(300)
    search.cost = 0.0
    search.run(3_000)
    search.run(2 * EVERY_SECONDS)
    assert {low for low, _ in search.read} == {EVER}


def test_a_clock_that_was_set_back_is_followed() -> None:
    search = Search(cost=20 / DENSE)
    search.run(300)
    part = search.search.next_part(search.clock + EVERY_SECONDS, NOW - 86_400)
    assert part is not None
    assert part.low < part.before == NOW - 86_400
