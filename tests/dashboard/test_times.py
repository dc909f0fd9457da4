"""Times on pages: the relative one, the exact one in UTC beside it, and what a machine reads."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dispatcher.dashboard.template_filters import ago, clock, time

NOW = datetime(2026, 11, 28, 16, 31, 40, 123_000, tzinfo=UTC)


def test_a_time_is_relative_and_exact_in_utc() -> None:
    text = str(time(NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))))
    assert text.startswith(
        '<time datetime="2026-11-28T16:31:40.123Z" title="2026-11-28 16:31:40.123 UTC">'
        '<span class="ago">'
    )
    assert text.endswith('</span> <span class="exact">2026-11-28 16:31:40 UTC</span></time>')


def test_a_time_of_day_is_in_utc() -> None:
    assert str(clock(NOW)) == (
        '<time datetime="2026-11-28T16:31:40.123Z"><span class="clock">16:31:40 UTC</span></time>'
    )


def test_a_missing_time_is_its_word_and_no_html() -> None:
    assert str(time(None)) == "\N{EN DASH}"
    assert str(time(None, "<never>")) == "&lt;never&gt;"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "now"),
        (1, "1 s ago"),
        (119, "1 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
        (-61, "in 1 min"),
    ],
)
def test_a_relative_time_has_one_unit(seconds: float, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words
