"""What one attempt means for its delivery and its endpoint.

| answer                       | the delivery               | the endpoint                      |
|------------------------------|----------------------------|-----------------------------------|
| 2xx                          | delivered                  |                                   |
| 410                          | retried, at last failed    | disabled: its owner wants no more |
| 429 or 503 and `Retry-After` | retried, not before that   | paused until then                 |
| any other, redirects too     | retried, at last failed    |                                   |
| none                         | retried, at last failed    |                                   |

Everything but a 2xx is retried: receivers misdeploy, and a 404 at noon is a 200 at one o'clock.
"""

from http import HTTPStatus

from dispatcher.core.model import (
    Outcome,
    Response,
    RetryPolicy,
    SendError,
    State,
)
from dispatcher.core.retry_schedule import next_delay, retry_after

_PHRASES = {status.value: status.phrase for status in HTTPStatus}

LONGEST_LOCATION = 200
"""Characters of a redirect's target that an error repeats."""

_DELIVERED = Outcome(code="ok", error=None, state="DELIVERED", delay=None, pause=None, disable=None)


def decide(
    result: Response | SendError,
    *,
    attempt: int,
    policy: RetryPolicy,
    now: float,
    chance: float,
) -> Outcome:
    """The outcome of attempt number `attempt` of the present schedule, counted from 1.

    `now` (Unix seconds) is what dates in `Retry-After` are held against, `chance` in [0, 1) chooses
    within the jitter. The next attempt is due at the later of the schedule's and the receiver's
    wish. Disabling an endpoint does not end its deliveries: they wait for it to be enabled again.
    """
    if isinstance(result, SendError):
        state, delay = _again_or_failed(attempt, policy, chance, at_least=0.0)
        return Outcome(result.code, result.reason, state, delay, pause=None, disable=None)
    if is_success(result.status):
        return _DELIVERED
    pause = _wished_pause(result, now)
    state, delay = _again_or_failed(attempt, policy, chance, at_least=pause or 0.0)
    disable = "gone" if result.status == HTTPStatus.GONE else None
    return Outcome("http", _refusal(result), state, delay, pause, disable)


def is_success(status: int) -> bool:
    return 200 <= status <= 299


def _again_or_failed(
    attempt: int, policy: RetryPolicy, chance: float, *, at_least: float
) -> tuple[State | None, float | None]:
    if attempt > policy.retries:
        return "FAILED", None
    return None, max(next_delay(policy, attempt - 1, chance), at_least)


def _wished_pause(response: Response, now: float) -> float | None:
    if response.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return None
    return retry_after(_values(response, "retry-after"), now)


def _refusal(response: Response) -> str:
    location = next(iter(_values(response, "location")), "")
    if 300 <= response.status <= 399 and location:
        return f"redirect to {_presentable(location)} is not followed"
    if response.status in _PHRASES:
        return f"answered {response.status} {_PHRASES[response.status]}"
    return f"answered {response.status}"


def _presentable(text: str) -> str:
    """`text` as it can go into a log line and a database column, cut to a length."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:LONGEST_LOCATION])
    return shown if len(text) <= LONGEST_LOCATION else f"{shown}…"


def _values(response: Response, name: str) -> list[str]:
    return [value for header, value in response.headers if header.lower() == name]
