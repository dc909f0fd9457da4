"""What an audit entry says of the fields that changed."""

from typing import Any

import pytest

from dispatcher.services.audit.audit_changes import UNKNOWN, FieldChange, detail, field_changes


@pytest.mark.parametrize(
    ("changed", "before", "after", "expected"),
    [
        (["b", "a"], {}, {}, {"changed": ["a", "b"]}),
        (
            ["url", "headers"],
            {"url": "old", "name": "n"},
            {"url": "new", "name": "n"},
            {"changed": ["headers", "url"], "url": "new", "before": {"url": "old"}},
        ),
        (["url"], {"url": "same"}, {"url": "same"}, {"changed": ["url"], "url": "same"}),
        (["url"], {}, {"url": "new"}, {"changed": ["url"], "url": "new"}),
    ],
)
def test_the_detail_has_earlier_values_of_what_differs(
    changed: list[str], before: dict[str, Any], after: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert detail(changed, before, after) == expected


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, ()),
        ({"url": "new"}, (FieldChange("url", UNKNOWN, "new"),)),
        (
            {
                "changed": ["active", "tls"],
                "active": False,
                "before": {"active": True},
                "reason": "gone",
            },
            (
                FieldChange("active", True, False),
                FieldChange("tls", UNKNOWN, UNKNOWN),
                FieldChange("reason", UNKNOWN, "gone"),
            ),
        ),
        ({"changed": "nonsense", "before": 1}, ()),
        ({"changed": [1, "a"]}, (FieldChange("a", UNKNOWN, UNKNOWN),)),
    ],
)
def test_an_entry_is_read_whatever_it_holds(
    stored: dict[str, Any], expected: tuple[FieldChange, ...]
) -> None:
    assert field_changes(stored) == expected
