from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core import retry_schedule
from dispatcher.core.model import RetryPolicy

DEFAULT = RetryPolicy(retries=5, base=10, factor=12, jitter=0.2, cap=7 * 86400)
DAY = 86400.0
NOW = 1772107200.25
"""2026-02-26 12:00:00.25 UTC, a Thursday."""


@pytest.mark.parametrize(
    ("retry", "chance", "seconds"),
    [
        (1, 0.5, 10),
        (2, 0.5, 120),
        (3, 0.5, 1440),
        (4, 0.5, 17_280),
        (5, 0.5, 207_360),
        (1, 0.0, 8),
        (1, 0.25, 9),
        (1, 0.75, 11),
        (5, 0.0, 165_888),
        # The cap limits the delay before jitter.
        (6, 0.5, 604_800),
        (6, 0.0, 483_840),
        (6, 0.75, 665_280),
        (401, 0.5, 604_800),
        (10**9 + 1, 0.5, 604_800),
    ],
)
def test_the_default_schedule_multiplies_by_twelve(
    retry: int, chance: float, seconds: float
) -> None:
    assert retry_schedule.next_delay(DEFAULT, retry, chance) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("changes", "retry", "chance", "seconds"),
    [
        ({"jitter": 0.0}, 3, 0.99, 1440),
        ({"factor": 1.0}, 10**6 + 1, 0.5, 10),
        ({"factor": 0.5}, 2, 0.5, 5),
        ({"factor": 0.5}, 10**6 + 1, 0.5, 0),
        ({"base": 0.0}, 10**6 + 1, 0.99, 0),
        ({"base": 1e300}, 301, 0.5, 604_800),
        ({"cap": 0.0}, 4, 0.5, 0),
        ({"cap": 60.0}, 1, 0.5, 10),
        ({"cap": 60.0}, 2, 0.5, 60),
        # A jitter larger than the delay cannot give a time in the past.
        ({"jitter": 1.5}, 1, 0.0, 0),
    ],
)
def test_a_custom_policy_is_followed(
    changes: dict[str, float], retry: int, chance: float, seconds: float
) -> None:
    policy = replace(DEFAULT, **changes)  # type: ignore[arg-type]  # a table of float fields
    assert retry_schedule.next_delay(policy, retry, chance) == pytest.approx(seconds)


@given(
    st.builds(
        RetryPolicy,
        retries=st.integers(0, 100),
        base=st.floats(0, 1e6),
        factor=st.floats(0, 1e3),
        jitter=st.floats(0, 1),
        cap=st.floats(0, 1e7),
    ),
    st.integers(1, 10**12),
    st.floats(0, 1, exclude_max=True),
)
def test_every_delay_is_a_number_between_zero_and_the_jittered_cap(
    policy: RetryPolicy, retry: int, chance: float
) -> None:
    delay = retry_schedule.next_delay(policy, retry, chance)
    assert 0 <= delay <= policy.cap * (1 + policy.jitter)


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [
        (DEFAULT, (10 + 120 + 1440 + 17_280 + 207_360) * 1.2),
        (replace(DEFAULT, retries=0), 0),
        (replace(DEFAULT, retries=1), 12),
        (replace(DEFAULT, retries=3, cap=60, jitter=0), 10 + 60 + 60),
        (replace(DEFAULT, retries=1000, cap=60, jitter=0.5), (10 + 999 * 60) * 1.5),
    ],
)
def test_the_longest_span_adds_up_the_longest_delays(policy: RetryPolicy, seconds: float) -> None:
    assert retry_schedule.longest_span(policy) == pytest.approx(seconds)


@given(st.integers(0, 50), st.floats(0, 1, exclude_max=True))
def test_no_schedule_outlasts_the_longest_span(retries: int, chance: float) -> None:
    policy = replace(DEFAULT, retries=retries)
    span = sum(retry_schedule.next_delay(policy, retry, chance) for retry in range(1, retries + 1))
    assert span <= retry_schedule.longest_span(policy) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        # Seconds.
        (["120"], 120),
        (["1"], 1),
        (["0120"], 120),
        ([" 120 "], 120),
        (["\t120"], 120),
        (["120.5"], 121),
        (["120.0"], 120),
        (["0.001"], 1),
        (["86400"], DAY),
        # Never more than a day.
        (["86401"], DAY),
        (["86399.5"], DAY),
        (["1e7"], DAY),
        (["1E7"], DAY),
        (["31622400"], DAY),
        # A Unix time within the next year.
        (["1772107230"], 30),
        (["1772107230.5"], 31),
        (["1772107201"], 1),
        (["1772200000"], DAY),
        (["1803729600"], DAY),
        # Dates, in the three formats of HTTP, and with zones in the form of mail.
        (["Thu, 26 Feb 2026 12:02:00 GMT"], 119.75),
        (["Thursday, 26-Feb-26 12:02:00 GMT"], 119.75),
        (["Thu Feb 26 12:02:00 2026"], 119.75),
        (["Thu, 26 Feb 2026 14:02:00 +0200"], 119.75),
        (["Thu, 26 Feb 2026 12:02:00 -0000"], 119.75),
        (["Thu, 26 Feb 2026 12:00:01 GMT"], 0.75),
        (["Fri, 27 Feb 2026 12:00:00 GMT"], DAY - 0.25),
        (["Sat, 28 Feb 2026 12:00:00 GMT"], DAY),
        (["Fri, 26 Feb 2027 12:00:00 GMT"], DAY),
        # Two headers with the same time.
        (["120", "120"], 120),
        (["120", "120.0"], 120),
    ],
)
def test_a_retry_after_header_gives_a_pause(values: Sequence[str], seconds: float) -> None:
    assert retry_schedule.retry_after(values, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["abc"],
        ["soon"],
        ["-5"],
        ["+5"],
        ["0"],
        ["0.0"],
        ["1e-3"],
        ["inf"],
        ["nan"],
        ["Infinity"],
        ["0x10"],
        ["1_000"],
        ["1,000"],
        ["120, 120"],
        ["120s"],
        ["120 seconds"],
        ["12.0.0"],
        [".5"],
        ["٣٤"],
        ["²"],
        ["PT2M"],
        ["\x00"],
        ["\udcff"],
        # Neither a delay nor a time within the next year.
        ["31622401"],
        ["1e9"],
        ["1000000000"],
        ["1772107200"],
        ["1772107100"],
        ["1803729601"],
        ["1795883279000"],
        ["99999999999999999999"],
        ["1e999"],
        ["9" * 5000],
        # Dates that are past, now, impossible or too far in the future.
        ["Fri, 31 Dec 9999 23:59:59 GMT"],
        ["Thu, 26 Feb 2026 12:00:00 GMT"],
        ["Thu, 26 Feb 2026 11:59:59 GMT"],
        ["Sun, 06 Nov 1994 08:49:37 GMT"],
        ["Thu, 01 Jan 0001 00:00:00 +2359"],
        ["Mon, 30 Feb 2026 12:00:00 GMT"],
        ["Thu, 26 Feb 99999 12:00:00 GMT"],
        ["Thu, 26 Feb 2026 25:00:00 GMT"],
        ["Thu, 26 Feb 2026 12:02:00 +" + "9" * 300],
        ["Thu, 26 Feb " + "9" * 5000 + " 12:02:00 GMT"],
        # Two headers with different times.
        ["120", "60"],
        ["120", "abc"],
        ["120", "Thu, 26 Feb 2026 12:02:00 GMT"],
        ["abc", "abc"],
        ["60", "-5", "120"],
    ],
)
def test_an_invalid_or_past_retry_after_gives_no_pause(values: Sequence[str]) -> None:
    assert retry_schedule.retry_after(values, NOW) is None


@given(
    st.lists(
        st.one_of(
            st.text(),
            st.from_regex(r"[-+0-9eE. ]{1,12}"),
            st.from_regex(r"(Mon|Thu), [0-9]{1,2} (Feb|Dec) [0-9]{1,5} [0-9:]{4,8} ?[-+A-Z0-9]*"),
        ),
        max_size=3,
    ),
    st.floats(0, 4e9),
)
def test_any_retry_after_gives_no_pause_or_at_most_a_day(values: Sequence[str], now: float) -> None:
    seconds = retry_schedule.retry_after(values, now)
    assert seconds is None or 0 < seconds <= DAY
