"""The campaigns' oracle finds what it is there to find: an oracle that finds nothing proves nothing."""

from dataclasses import replace
from typing import Any

import pytest

from tests.campaign.oracle import Fault, Findings, Post, judge
from tests.campaign.producer import Emitted

WANTED = {"/a": ["user.created"], "/b": ["user.created", "role.created"]}
KILLED = Fault(100.0, "kill", cuts=True, forgets=False)


def post(n: int, endpoint: str, at: float, status: int | None = 200, attempt: int = 1) -> Post:
    return Post(
        at=at,
        endpoint=endpoint,
        event=f"evt_{n}",
        delivery=f"dlv_{n}{endpoint}",
        attempt=attempt,
        timestamp=int(at),
        n=n,
        type="user.created",
        body=f"body of {n}",
        fault="",
        answered_at=None if status is None else at + 0.1,
        status=status,
    )


def row(of: Post, *, next_at: float | None = None, **other: object) -> dict[str, Any]:
    ok = of.status == 200
    return {
        "delivery": of.delivery,
        "attempt": of.attempt,
        "outcome": "ok" if ok else "http",
        "started": of.at,
        "next_at": next_at,
        "state": "DELIVERED" if ok else None,
        **other,
    }


def found(
    posts: list[Post], rows: list[dict[str, Any]], *faults: Fault, **emitted: Any
) -> Findings:
    """Event 1 was committed, 2 rolled back, of 3 it is not known; `emitted` overrides."""
    of = Emitted(
        types=dict.fromkeys(range(5), "user.created"), committed={1}, rolled_back={2}, unknown={3}
    )
    stored = emitted.pop("stored", {1})
    return judge(of, stored, WANTED, posts, rows, faults, longest=5.0)


A, B = post(1, "/a", 90.0), post(1, "/b", 90.0)


def test_everything_delivered_once_and_on_record_is_no_finding() -> None:
    clean = found([A, B], [row(A), row(B)])
    assert clean.violations == []
    assert (clean.duplicated, clean.unrecorded) == ([], [])


def test_a_retry_on_schedule_is_no_finding() -> None:
    failed, again = post(1, "/a", 90.0, 500), post(1, "/a", 92.0, attempt=2)
    clean = found([failed, again, B], [row(failed, next_at=91.9), row(again), row(B)])
    assert clean.violations == []
    assert clean.duplicated == []


@pytest.mark.parametrize(
    ("posts", "rows", "text"),
    [
        pytest.param([A], [row(A)], "lost: 1 (user.created) for /b", id="never sent"),
        pytest.param(
            [A, post(1, "/b", 90.0, 500)],
            [row(A), row(post(1, "/b", 90.0, 500))],
            "lost: 1 (user.created) for /b",
            id="never answered well",
        ),
        pytest.param(
            [A, B, post(2, "/a", 95.0)],
            [row(A), row(B), row(post(2, "/a", 95.0))],
            "unexpected: 2 (user.created) at /a",
            id="rolled back",
        ),
        pytest.param(
            [A, B, post(1, "/c", 95.0)],
            [row(A), row(B), row(post(1, "/c", 95.0))],
            "unexpected: 1 (user.created) at /c",
            id="not asked for",
        ),
        pytest.param(
            [A, replace(B, body="another")],
            [row(A), row(B)],
            "event 1 has 2 bodies",
            id="other bytes",
        ),
        pytest.param(
            [A, replace(B, fault="no match")],
            [row(A), row(B)],
            "signature of dlv_1/b: no match",
            id="bad signature",
        ),
        pytest.param(
            [A, replace(B, timestamp=80)],
            [row(A), row(B)],
            "dlv_1/b was signed 10.0 s ago",
            id="stale signature",
        ),
        pytest.param(
            [A, B],
            [row(A)],
            "('dlv_1/b', 1): 1 POSTs without a row, 0 were cut off",
            id="not on record",
        ),
        pytest.param(
            [A, B],
            [row(A), row(A, state=None), row(B)],
            "phantom: ('dlv_1/a', 1) has 2 answers on record",
            id="an answer that no receiver gave",
        ),
        pytest.param(
            [A, replace(B, attempt=2)],
            [row(A), row(replace(B, attempt=2))],
            "dlv_1/b has attempts [2]",
            id="a number is missing",
        ),
        pytest.param(
            [post(1, "/a", 90.0, 500), post(1, "/a", 91.0, attempt=2), B],
            [
                row(post(1, "/a", 90.0, 500), next_at=92.0),
                row(post(1, "/a", 91.0, attempt=2)),
                row(B),
            ],
            "dlv_1/a: attempt 2 was made 1.000 s too early",
            id="too early",
        ),
        pytest.param(
            [A, B],
            [row(A), row(B), row(A, outcome="timeout")],
            "dlv_1/a ended more than once: {'DELIVERED': 2}",
            id="ended twice",
        ),
    ],
)
def test_each_broken_promise_is_found(
    posts: list[Post], rows: list[dict[str, Any]], text: str
) -> None:
    assert text in found(posts, rows).violations


def test_a_post_after_the_whole_of_a_2xx_is_a_duplicate_and_one_before_is_not() -> None:
    during, after = post(1, "/a", 90.05), post(1, "/a", 95.0)
    findings = found([A, during, after, B], [row(A), row(during), row(after), row(B)])
    assert findings.duplicated == [after]


def test_what_a_kill_cut_off_may_stay_without_a_row_and_what_it_did_not_may_not() -> None:
    cut, long_before = post(1, "/a", 99.0), post(1, "/b", 80.0)
    findings = found([long_before, cut], [], KILLED)
    assert findings.unrecorded == [cut]
    assert findings.violations == ["('dlv_1/b', 1): 1 POSTs without a row, 0 were cut off"]


def test_an_event_of_unknown_fate_counts_only_if_it_is_in_the_table() -> None:
    assert found([A, B], [row(A), row(B)], stored={1}).lost == []
    assert found([A, B], [row(A), row(B)], stored={1, 3}).lost == [
        "3 (user.created) for /a",
        "3 (user.created) for /b",
    ]


def test_a_committed_event_that_is_not_in_the_table_is_found() -> None:
    assert "committed event 1 is not in the table" in found([A, B], [], stored=set()).violations


def test_a_database_that_forgets_excuses_what_was_under_way_only() -> None:
    crash = replace(KILLED, forgets=True)
    near, distant = post(1, "/a", 99.0, attempt=3), post(1, "/b", 90.0, attempt=3)
    findings = found([distant, near], [row(near), row(distant)], crash)
    assert findings.violations == ["dlv_1/b has attempts [3]"]
