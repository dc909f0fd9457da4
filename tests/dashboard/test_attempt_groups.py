"""Attempts that went alike are folded, others are compared, and each has its phases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dispatcher.dashboard.attempt_groups import CHANGES_LIMIT, Change, compare, group
from dispatcher.dashboard.attempt_phases import phases
from dispatcher.services.deliveries.history_resources import Attempt

BROKEN = Attempt(
    number=1,
    started_at=datetime(2026, 11, 28, tzinfo=UTC),
    duration_ms=100,
    outcome="http",
    status=500,
    error="answered 500 Internal Server Error",
    request_headers={},
    response_headers=(("Content-Type", "text/plain"), ("Date", "Sat, 28 Nov 2026 00:00:00 GMT")),
    response_body="upstream timed out",
    response_truncated=False,
    next_at=None,
    lookup_ms=None,
    connect_ms=None,
    tls_ms=None,
    first_byte_ms=None,
)


def nth(number: int, **changes: Any) -> Attempt:
    at = BROKEN.started_at + timedelta(minutes=number)
    return replace(BROKEN, number=number, started_at=at, **changes)


def shape(*attempts: Attempt) -> list[tuple[int, int, int]]:
    """Of each group: its position, and the numbers of its oldest and its newest attempt."""
    return [
        (attempt_group.position, attempt_group.oldest.number, attempt_group.newest.number)
        for attempt_group in group(attempts)
    ]


DATED = (("content-type", "text/plain"), ("Date", "later"), ("X-Request-Id", "7"))


@pytest.mark.parametrize(
    ("attempts", "groups"),
    [
        ([], []),
        ([nth(1)], [(1, 1, 1)]),
        ([nth(1), nth(2), nth(3)], [(1, 1, 3)]),
        ([nth(1), nth(2), nth(3, status=503), nth(4)], [(4, 4, 4), (3, 3, 3), (1, 1, 2)]),
        ([nth(1), nth(2, duration_ms=9000, lookup_ms=3)], [(1, 1, 2)]),
        ([nth(1), nth(2, response_body="else")], [(2, 2, 2), (1, 1, 1)]),
        ([nth(1), nth(2, response_headers=BROKEN.response_headers[:1])], [(1, 1, 2)]),
        ([nth(1, outcome="dns", status=None), nth(2)], [(2, 2, 2), (1, 1, 1)]),
        ([nth(7), nth(8), nth(8, outcome="cancelled")], [(3, 8, 8), (1, 7, 8)]),
    ],
)
def test_successive_equal_attempts_are_one_group(
    attempts: list[Attempt], groups: list[tuple[int, int, int]]
) -> None:
    assert shape(*attempts) == groups


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"response_headers": DATED}, []),
        ({"status": 503, "error": "e"}, [("Status", "500", "503"), ("Error", BROKEN.error, "e")]),
        ({"status": None}, [("Status", "500", None)]),
        ({"response_headers": ()}, [("Header content-type", "text/plain", None)]),
        (
            {"response_headers": (*DATED, ("X-A", "1"), ("x-a", "2"))},
            [("Header x-a", None, "1, 2")],
        ),
        ({"response_body": "upstream timed up"}, [("Body", "upstream timed out", None)]),
        ({"outcome": "cancelled", "status": None}, []),
    ],
)
def test_a_change_names_the_part_that_differs(changes: dict[str, Any], expected: list[Any]) -> None:
    actual = compare(BROKEN, replace(BROKEN, **changes))
    if expected and expected[0][0] == "Body":
        assert [change.part for change in actual] == ["Body"]
    else:
        assert list(actual) == [Change(*row) for row in expected]


def test_bodies_are_shown_from_a_little_before_their_first_difference() -> None:
    same = "x" * 5000
    long = replace(BROKEN, response_body=same + "before" + same)
    (change,) = compare(long, replace(long, response_body=same + "after"))
    assert change.before is not None
    assert change.before.startswith("… " + "x" * 20 + "before")
    assert len(change.before) < 130
    assert change.after == "… " + "x" * 20 + "after"
    (change,) = compare(long, replace(long, response_body=same + "before"))
    assert change.before != change.after


def test_the_number_and_the_length_of_changes_are_limited() -> None:
    headers = tuple((f"x-{number}", "v" * 500) for number in range(1000))
    changes = compare(BROKEN, replace(BROKEN, response_headers=headers))
    assert len(changes) == CHANGES_LIMIT
    assert all(len(change.after or "") < 130 for change in changes)


@pytest.mark.parametrize(
    ("changes", "bar"),
    [
        ({}, []),
        (
            {"lookup_ms": 10, "connect_ms": 20, "tls_ms": 30, "first_byte_ms": 25},
            [
                ("Lookup", 10, 0.0, 100.0),
                ("Connect", 20, 100.0, 200.0),
                ("TLS", 30, 300.0, 300.0),
                ("First byte", 25, 600.0, 250.0),
                ("Rest", 15, 850.0, 150.0),
            ],
        ),
        ({"first_byte_ms": 100}, [("First byte", 100, 0.0, 1000.0)]),
        (
            {"lookup_ms": 51, "connect_ms": 50},
            [("Lookup", 51, 0.0, 505.0), ("Connect", 50, 505.0, 495.0)],
        ),
        ({"duration_ms": 0, "first_byte_ms": 0}, [("First byte", 0, 0.0, 0.0)]),
    ],
)
def test_phases_are_parts_of_one_bar(changes: dict[str, Any], bar: list[Any]) -> None:
    parts = phases(replace(BROKEN, **changes))
    assert [(part.name, part.ms, part.start, part.width) for part in parts] == bar
