import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core import event_patterns
from tests.patterns import candidates

TYPES = [
    "a",
    "user.created",
    "user.password_reset",
    "a.b.c",
    "A9_.0",
    "_",
    "1",
    "a." * 63 + "a1",
    "x" * 128,
    "webhook.test",
    "endpoint.disabled",
]

NOT_TYPES = [
    ("", "empty"),
    ("x" * 129, "at most 128"),
    ("user..created", "not an event type"),
    (".user", "not an event type"),
    ("user.", "not an event type"),
    ("user created", "not an event type"),
    (" user", "not an event type"),
    ("user\n", "not an event type"),
    ("user.created\n", "not an event type"),
    ("user\r\nX-Injected: 1", "not an event type"),
    ("user\x00", "not an event type"),
    ("user-created", "not an event type"),
    ("größe", "not an event type"),
    ("usеr", "not an event type"),  # noqa: RUF001 - a Cyrillic letter among Latin ones is the case
    ("٣", "not an event type"),
    ('user"', "not an event type"),
]

WILDCARDS = ["*", "user.*", "a.b.*", "a.b.c.d.*", "x" * 126 + ".*"]

NOT_PATTERNS = [
    *NOT_TYPES[:2],
    ("x" * 127 + ".*", "at most 128"),
    *((text, "not a pattern") for text, _ in NOT_TYPES[2:]),
    ("**", "not a pattern"),
    (".*", "not a pattern"),
    ("*.*", "not a pattern"),
    ("user*", "not a pattern"),
    ("user.*.created", "not a pattern"),
    ("*.created", "not a pattern"),
    ("user.**", "not a pattern"),
    ("user.*.*", "not a pattern"),
    ("user.*\n", "not a pattern"),
    ("*\n", "not a pattern"),
    ("user.%", "not a pattern"),
]

MATCHES = [
    ("user.created", "user.created", True),
    ("user.created", "user.updated", False),
    ("user.created", "user.created.twice", False),
    ("user", "user.created", False),
    ("User.created", "user.created", False),
    ("*", "user", True),
    ("*", "user.created", True),
    ("*", "a.b.c.d", True),
    ("a.*", "a", False),
    ("a.*", "a.b", True),
    ("a.*", "a.b.c", True),
    ("a.*", "ab.c", False),
    ("a.*", "b.a.c", False),
    ("a.b.*", "a.b", False),
    ("a.b.*", "a.b.c", True),
    ("a.b.*", "a.b.c.d", True),
    ("a.b.*", "a.c.b", False),
    # A dot and an underscore are literal here, unlike in regular expressions and LIKE.
    ("a_b.*", "axb.c", False),
    ("a.b", "axb", False),
    # Reserved types match only patterns that name them exactly.
    ("webhook.test", "webhook.test", True),
    ("webhook.*", "webhook.test", False),
    ("*", "webhook.test", False),
    ("endpoint.disabled", "endpoint.disabled", True),
    ("endpoint.*", "endpoint.disabled", False),
    ("*", "endpoint.disabled", False),
    ("delivery.exhausted", "delivery.exhausted", True),
    ("delivery.*", "delivery.exhausted", False),
    ("delivery.batch.*", "delivery.batch.failed", False),
    ("*", "delivery.batch.failed", False),
    # Types with similar names are ordinary types.
    ("webhook.*", "webhook.tested", True),
    ("*", "webhook.test.more", True),
    ("*", "endpoint", True),
    ("*", "delivery", True),
    ("endpoints.*", "endpoints.disabled", True),
]

segments = st.lists(st.sampled_from(["a", "b", "user", "webhook", "test", "endpoint"]), min_size=1)
types = segments.map(lambda parts: ".".join(parts[:6]))


@pytest.mark.parametrize("text", TYPES)
def test_a_type_parses_as_itself(text: str) -> None:
    assert event_patterns.parse_type(text) == text


@pytest.mark.parametrize(("text", "complaint"), NOT_TYPES)
def test_an_invalid_type_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        event_patterns.parse_type(text)


@pytest.mark.parametrize("text", WILDCARDS)
def test_a_wildcard_is_a_pattern_but_not_a_type(text: str) -> None:
    assert event_patterns.parse_pattern(text) == text
    with pytest.raises(ValueError, match="not an event type"):
        event_patterns.parse_type(text)


@pytest.mark.parametrize("text", TYPES)
def test_every_type_is_a_pattern(text: str) -> None:
    assert event_patterns.parse_pattern(text) == text


@pytest.mark.parametrize(("text", "complaint"), NOT_PATTERNS)
def test_an_invalid_pattern_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        event_patterns.parse_pattern(text)


@pytest.mark.parametrize(("pattern", "type", "expected"), MATCHES)
def test_a_pattern_matches_the_types_that_the_table_says(
    pattern: str, type: str, expected: bool
) -> None:
    assert event_patterns.matches(pattern, type) is expected


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("user", ("user", "*")),
        ("user.created", ("user.created", "user.*", "*")),
        ("a.b.c.d", ("a.b.c.d", "a.b.c.*", "a.b.*", "a.*", "*")),
        ("webhook.test", ("webhook.test",)),
        ("endpoint.disabled", ("endpoint.disabled",)),
        ("delivery.exhausted", ("delivery.exhausted",)),
    ],
)
def test_the_candidates_of_a_type_run_from_narrow_to_wide(
    type: str, expected: tuple[str, ...]
) -> None:
    assert candidates(type) == expected


@given(types, st.one_of(types, types.map(lambda type: f"{type}.*"), st.just("*")))
def test_a_pattern_matches_exactly_when_it_is_among_the_candidates(type: str, pattern: str) -> None:
    assert event_patterns.matches(pattern, type) is (pattern in candidates(type))


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("webhook.test", True),
        ("endpoint.disabled", True),
        ("delivery.exhausted", True),
        ("delivery.a.b", True),
        ("webhook.tested", False),
        ("webhook", False),
        ("endpoint", False),
        ("deliveryman.left", False),
        ("user.created", False),
    ],
)
def test_types_of_operational_events_are_reserved(type: str, expected: bool) -> None:
    assert event_patterns.is_reserved(type) is expected
