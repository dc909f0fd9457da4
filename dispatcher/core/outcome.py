"""Decide what one attempt means for its delivery and its endpoint.

| response                     | the delivery               | the endpoint                      |
|------------------------------|----------------------------|-----------------------------------|
| 2xx                          | delivered                  |                                   |
| 410                          | held until it is enabled¹  | disabled: its owner removed it    |
| 429 or 503 and `Retry-After` | retried¹, not before that  | resting until then                |
| any other, redirects too     | retried¹                   |                                   |
| none                         | retried¹                   |                                   |

¹ failed if the schedule has no retry left

Everything but a 2xx is retried: receivers have bad deployments, and a 404 at 12:00 may be a 200 at
13:00. The policy of the endpoint says when, and how often until the delivery has failed. An error
in the daemon counts as no response if it happened while the request was built or sent. One outside
the request, such as while reading the event, has a schedule of its own: `broken_attempt`.
"""

from http import HTTPStatus

from dispatcher.core.model import (
    Delivery,
    Outcome,
    Response,
    RetryPolicy,
    SendError,
    State,
)
from dispatcher.core.retry_schedule import next_delay, retry_after

_PHRASES = {status.value: status.phrase for status in HTTPStatus}

LOCATION_LIMIT_CHARACTERS = 200
"""Longest part of a redirect's target that an error repeats."""

BROKEN_RETRIES = 5
BROKEN_RETRY_SECONDS = 30.0
"""Delay after the first attempt of the schedule; each later attempt doubles it."""

_DELIVERED = Outcome(code="ok", error=None, state="DELIVERED", delay=None, rest=None, disable=None)


def decide(
    result: Response | SendError,
    *,
    attempt: int,
    policy: RetryPolicy,
    now: float,
    chance: float,
) -> Outcome:
    """Return the outcome of attempt number `attempt` of the current schedule, counted from 1.

    `now` is Unix seconds, to compare dates in `Retry-After` with. `chance` in [0, 1) selects within
    the jitter. The next attempt is due at the later of the schedule's time and the receiver's.
    Disabling an endpoint does not end its deliveries: they wait until it is enabled again.
    """
    if isinstance(result, SendError):
        state, delay = _retry_or_fail(attempt, policy, chance, at_least=0.0)
        return Outcome(result.code, result.reason, state, delay, rest=None, disable=None)
    if is_success(result.status):
        return _DELIVERED
    rest = _requested_rest(result, now)
    state, delay = _retry_or_fail(attempt, policy, chance, at_least=rest or 0.0)
    disable = "gone" if result.status == HTTPStatus.GONE else None
    return Outcome("http", _describe(result), state, delay, rest, disable)


def broken_attempt(delivery: Delivery, error: Exception) -> Outcome:
    """Return the outcome of an attempt that an error in the daemon ended outside its request.

    It has a schedule of its own, as the endpoint's may have caused the error. It fails from attempt
    number `BROKEN_RETRIES` + 1 on; earlier attempts count, however they ended.
    """
    attempts = delivery.attempts_of_schedule
    reason = f"internal error: {type(error).__name__}"
    if attempts >= BROKEN_RETRIES:
        return Outcome("protocol", reason, "FAILED", None, None, None)
    return Outcome("protocol", reason, None, BROKEN_RETRY_SECONDS * 2**attempts, None, None)


def unreadable_event(reason: str) -> Outcome:
    """Return the outcome of a delivery whose event is in the database, but cannot be read."""
    error = f"the event cannot be read: {reason}. Retry when it is repaired"
    return Outcome("cancelled", error, "FAILED", None, None, None)


def missing_event() -> Outcome:
    """Return the outcome of a delivery whose event was pruned."""
    error = "the event is no longer in the database"
    return Outcome("cancelled", error, "CANCELLED", None, None, None)


def is_success(status: int) -> bool:
    """Return True for a status of 2xx."""
    return 200 <= status <= 299


def _retry_or_fail(
    attempt: int, policy: RetryPolicy, chance: float, *, at_least: float
) -> tuple[State | None, float | None]:
    if attempt > policy.retries:
        return "FAILED", None
    return None, max(next_delay(policy, attempt, chance), at_least)


def _requested_rest(response: Response, now: float) -> float | None:
    if response.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return None
    return retry_after(_values(response, "retry-after"), now)


def _describe(response: Response) -> str:
    location = next(iter(_values(response, "location")), "")
    if 300 <= response.status <= 399 and location:
        return f"redirect to {_printable(location)} is not followed"
    if response.status in _PHRASES:
        return f"answered {response.status} {_PHRASES[response.status]}"
    return f"answered {response.status}"


def _printable(text: str) -> str:
    """Return `text` for a log line and a database column: printable, and cut to a length."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:LOCATION_LIMIT_CHARACTERS])
    return shown if len(text) <= LOCATION_LIMIT_CHARACTERS else f"{shown}…"


def _values(response: Response, name: str) -> list[str]:
    return [value for header, value in response.headers if header.lower() == name]
