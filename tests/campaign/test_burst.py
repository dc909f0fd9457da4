"""How a burst is judged: steadiness, and the longest statement."""

from collections import Counter
from pathlib import Path

import pytest

from tests.campaign.burst import longest_statement, worst_second


@pytest.mark.parametrize(
    ("per_second", "number", "worst", "idle"),
    [
        ({0: 9_000, 1: 8_000, 2: 9_000}, 26_000, 8_000, []),
        ({0: 9_000, 2: 9_000}, 30_000, 0, [(1, 21_000)]),
        ({0: 9_000, 5: 500}, 9_500, 0, []),  # hardly any are due
        ({-1: 5_000, 0: 1_000, 1: 9_000, 2: 1}, 15_001, 1_000, []),  # sent before all were due
        ({}, 20_000, 0, []),
    ],
)
def test_a_second_without_a_post_while_many_are_due_is_reported(
    per_second: dict[int, int], number: int, worst: int, idle: list[tuple[int, int]]
) -> None:
    assert worst_second(Counter(per_second), number, many=10_000) == (worst, idle)


def test_the_longest_statement_counts_only_those_of_daemons(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_text(
        "|LOG:  duration: 9000.1 ms  statement: INSERT\n"
        "dispatcher/record|LOG:  duration: 40.5 ms  execute __asyncpg_stmt_1__: -- Arrays, an attempt each\n"
        "dispatcher/people-0|LOG:  duration: 70.0 ms  execute __asyncpg_stmt_2__: -- $1 environment\n"
        "\tSELECT 1\n"
    )
    assert longest_statement(log) == (0.07, "people-0: -- $1 environment")
    log.write_text("")
    assert longest_statement(log)[0] == 0
