from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core import outcome
from dispatcher.core.model import (
    Delivery,
    ErrorCode,
    Outcome,
    Response,
    RetryPolicy,
    SendError,
)

POLICY = RetryPolicy(retries=2, base=10, factor=12, jitter=0.2, cap=86400)
NOW = 1772107200.0
"""2026-02-26 12:00:00 UTC."""


def answer(status: int, *headers: tuple[str, str]) -> Response:
    return Response(status=status, headers=headers, body=b"", truncated=False, duration=0.1)


def decide(result: Response | SendError, attempt: int = 1, chance: float = 0.5) -> Outcome:
    return outcome.decide(result, attempt=attempt, policy=POLICY, now=NOW, chance=chance)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 206, 250, 299])
@pytest.mark.parametrize("attempt", [1, 3, 100])
def test_any_2xx_delivers_at_any_attempt(status: int, attempt: int) -> None:
    assert decide(answer(status, ("Retry-After", "120")), attempt) == Outcome(
        code="ok", error=None, state="DELIVERED", delay=None, rest=None, disable=None
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (100, "answered 100 Continue"),
        (101, "answered 101 Switching Protocols"),
        (199, "answered 199"),
        (300, "answered 300 Multiple Choices"),
        (302, "answered 302 Found"),
        (304, "answered 304 Not Modified"),
        (400, "answered 400 Bad Request"),
        (401, "answered 401 Unauthorized"),
        (403, "answered 403 Forbidden"),
        (404, "answered 404 Not Found"),
        (405, "answered 405 Method Not Allowed"),
        (408, "answered 408 Request Timeout"),
        (425, "answered 425 Too Early"),
        (429, "answered 429 Too Many Requests"),
        (500, "answered 500 Internal Server Error"),
        (501, "answered 501 Not Implemented"),
        (502, "answered 502 Bad Gateway"),
        (503, "answered 503 Service Unavailable"),
        (504, "answered 504 Gateway Timeout"),
        (599, "answered 599"),
        (600, "answered 600"),
        (999, "answered 999"),
    ],
)
def test_every_other_answer_is_retried_and_explained(status: int, error: str) -> None:
    assert decide(answer(status)) == Outcome(
        code="http", error=error, state=None, delay=10, rest=None, disable=None
    )


@pytest.mark.parametrize("code", get_args(ErrorCode))
def test_an_attempt_without_an_answer_is_retried_with_its_code_and_reason(code: ErrorCode) -> None:
    assert decide(SendError(code, "nothing listens on port 1", 0.1)) == Outcome(
        code=code,
        error="nothing listens on port 1",
        state=None,
        delay=10,
        rest=None,
        disable=None,
    )


@pytest.mark.parametrize(
    ("attempt", "chance", "state", "delay"),
    [
        (1, 0.5, None, 10),
        (1, 0.0, None, 8),
        (1, 0.75, None, 11),
        (2, 0.5, None, 120),
        (2, 0.25, None, 108),
        (3, 0.5, "FAILED", None),
        (4, 0.5, "FAILED", None),
    ],
)
@pytest.mark.parametrize("result", [answer(500), SendError("timeout", "no answer in 15 s", 15.0)])
def test_the_schedule_is_followed_until_the_retries_are_used_up(
    result: Response | SendError,
    attempt: int,
    chance: float,
    state: str | None,
    delay: float | None,
) -> None:
    decided = decide(result, attempt, chance)
    assert decided.state == state
    assert decided.delay == (delay if delay is None else pytest.approx(delay))


def test_without_retries_the_first_failure_is_the_last() -> None:
    policy = RetryPolicy(retries=0, base=10, factor=12, jitter=0, cap=60)
    decided = outcome.decide(answer(500), attempt=1, policy=policy, now=NOW, chance=0.5)
    assert (decided.state, decided.delay) == ("FAILED", None)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "value", "rest", "delay"),
    [
        ("Retry-After", "120", 120, 120),
        ("retry-after", "120", 120, 120),
        ("RETRY-AFTER", "120.5", 121, 121),
        ("Retry-After", "Thu, 26 Feb 2026 12:05:00 GMT", 300, 300),
        ("Retry-After", "1e7", 86400, 86400),
        # Sooner than the schedule: the delay is the schedule's, the rest is the receiver's.
        ("Retry-After", "3", 3, 10),
        # An invalid value has no effect.
        ("Retry-After", "-5", None, 10),
        ("Retry-After", "abc", None, 10),
        ("Retry-After", "0", None, 10),
        ("Retry-After", "Thu, 26 Feb 2026 11:00:00 GMT", None, 10),
        ("X-Retry-After", "120", None, 10),
    ],
)
def test_a_busy_receiver_rests_for_its_retry_after(
    status: int, header: str, value: str, rest: float | None, delay: float
) -> None:
    decided = decide(answer(status, ("Server", "x"), (header, value)))
    assert (decided.code, decided.state) == ("http", None)
    assert (decided.rest, decided.delay) == (rest, delay)


@pytest.mark.parametrize(("second", "rest"), [("120", 120), ("60", None), ("abc", None)], ids=str)
def test_two_retry_after_headers_count_only_if_they_agree(second: str, rest: float | None) -> None:
    decided = decide(answer(429, ("Retry-After", "120"), ("retry-after", second)))
    assert decided.rest == rest


def test_the_last_attempt_still_lets_the_endpoint_rest() -> None:
    decided = decide(answer(503, ("Retry-After", "120")), attempt=3)
    assert (decided.state, decided.delay, decided.rest) == ("FAILED", None, 120)


@pytest.mark.parametrize("status", [301, 400, 410, 500, 502, 504])
def test_retry_after_counts_only_with_429_and_503(status: int) -> None:
    decided = decide(answer(status, ("Retry-After", "120")))
    assert (decided.rest, decided.delay) == (None, 10)


@pytest.mark.parametrize(
    ("attempt", "state", "delay"), [(1, None, 10), (2, None, 120), (3, "FAILED", None)]
)
def test_410_disables_the_endpoint_and_leaves_the_delivery_pending(
    attempt: int, state: str | None, delay: float | None
) -> None:
    assert decide(answer(410), attempt) == Outcome(
        code="http",
        error="answered 410 Gone",
        state=state,  # type: ignore[arg-type]  # a column of the table
        delay=delay,
        rest=None,
        disable="gone",
    )


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("header", ["Location", "location"])
def test_a_redirect_is_a_failure_with_its_location(status: int, header: str) -> None:
    assert decide(answer(status, (header, "https://elsewhere.example/x"))) == Outcome(
        code="http",
        error="redirect to https://elsewhere.example/x is not followed",
        state=None,
        delay=10,
        rest=None,
        disable=None,
    )


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/x\x1b[31m\r\nforged: log line\x00", "/x?[31m??forged: log line?"),
        ("/\udcff\u202e\u2028", "/???"),
        ("/größe", "/größe"),
        ("/" + "x" * 199, "/" + "x" * 199),
        ("/" + "x" * 200, "/" + "x" * 199 + "…"),
        ("\n" * 100_000, "?" * 200 + "…"),
    ],
    ids=["control", "surrogate", "letters", "200", "201", "100000"],
)
def test_a_hostile_location_is_cut_and_made_printable(location: str, shown: str) -> None:
    decided = decide(answer(302, ("Location", location)))
    assert decided.error == f"redirect to {shown} is not followed"


def test_an_empty_location_is_not_mentioned() -> None:
    assert decide(answer(302, ("Location", ""))).error == "answered 302 Found"


def test_a_location_without_a_redirect_is_not_mentioned() -> None:
    assert decide(answer(404, ("Location", "/x"))).error == "answered 404 Not Found"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0, False), (199, False), (200, True), (204, True), (299, True), (300, False), (2000, False)],
)
def test_only_2xx_is_success(status: int, expected: bool) -> None:
    assert outcome.is_success(status) is expected


@given(
    st.one_of(
        st.builds(
            answer,
            st.integers(0, 10_000),
            st.tuples(st.sampled_from(["Retry-After", "Location", "Server"]), st.text()),
        ),
        st.builds(SendError, st.sampled_from(get_args(ErrorCode)), st.text(), st.floats(0, 30)),
    ),
    st.integers(1, 10),
    st.floats(0, 1, exclude_max=True),
)
def test_a_delivery_ends_or_has_a_delay_and_never_both(
    result: Response | SendError, attempt: int, chance: float
) -> None:
    decided = decide(result, attempt, chance)
    assert (decided.state is None) is (decided.delay is not None)
    assert (decided.state == "DELIVERED") is (decided.code == "ok") is (decided.error is None)


@pytest.mark.parametrize(
    ("attempt", "state", "delay"),
    [(2, None, 30.0), (3, None, 60.0), (6, None, 480.0), (7, "FAILED", None)],
)
def test_an_attempt_that_broke_is_retried_five_times_with_growing_delays(
    attempt: int, state: str | None, delay: float | None
) -> None:
    delivery = Delivery(1, 1, UUID(int=1), 0, attempt, 2, 0.0)
    broken = outcome.broken_attempt(delivery, LookupError("with a secret"))
    assert (broken.code, broken.state, broken.delay) == ("protocol", state, delay)
    assert broken.error == "internal error: LookupError"


def test_a_delivery_without_a_readable_event_ends() -> None:
    assert outcome.unreadable_event("DataError").state == "FAILED"
    assert outcome.missing_event().state == "CANCELLED"
