"""When to try again: by the policy's own schedule, and by what the receiver asks for.

Chance and time come in as arguments, so that every case can be written in a table.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from dispatcher.core.model import RetryPolicy

LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds: no answer of a receiver postpones its deliveries further."""

LONGEST_PLAUSIBLE = 366 * 24 * 3600.0
"""Seconds: a receiver that asks for more means something else, such as a Unix time."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?(e[0-9]+)?", re.IGNORECASE)


def next_delay(policy: RetryPolicy, retry: int, chance: float) -> float:
    """Seconds to wait before retry number `retry`, counted from 0.

    `chance` in [0, 1) chooses within the jitter: 0 is the shortest delay, 0.5 the bare one.
    """
    return max(0.0, _bare_delay(policy, retry) * (1 + policy.jitter * (2 * chance - 1)))


def longest_span(policy: RetryPolicy) -> float:
    """Seconds from the first attempt to the last when every jitter is the longest.

    By the schedule alone: not the time the attempts take, nor what receivers ask for.
    """
    return sum(_bare_delay(policy, n) for n in range(policy.retries)) * (1 + policy.jitter)


def retry_after(values: Sequence[str], now: float) -> float | None:
    """Seconds that the `Retry-After` headers of one answer ask for, at most 24 hours.

    `values` are the headers as they came, `now` is Unix seconds. Seconds may have a fraction, which
    rounds up; a date is one that HTTP or mail would accept; a number too large for a delay is a Unix
    time if it is one of the next year. None when they say nothing, nonsense, a time not in the
    future or too far in it, or, in two headers, not the same thing: guessing which was meant could
    pause an endpoint for a day.
    """
    asked = {_one_retry_after(value.strip(), now) for value in values}
    return asked.pop() if len(asked) == 1 else None


def _bare_delay(policy: RetryPolicy, retry: int) -> float:
    if policy.base <= 0:
        return 0.0
    try:
        grown = policy.base * float(policy.factor) ** retry
    except OverflowError:
        grown = math.inf
    return min(policy.cap, grown)


def _one_retry_after(value: str, now: float) -> float | None:
    if _SECONDS.fullmatch(value):
        asked = float(value)
        delay = asked if asked <= LONGEST_PLAUSIBLE else asked - now
    else:
        delay = _moment(value, otherwise=now) - now
    if not 0 < delay <= LONGEST_PLAUSIBLE:
        return None
    # Only a number of seconds is rounded: a date says the moment.
    return min(float(math.ceil(delay)) if _SECONDS.fullmatch(value) else delay, LONGEST_RETRY_AFTER)


def _moment(date: str, *, otherwise: float) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):  # as its versions had it
        return otherwise
    # A date without a zone is in UTC, as the oldest of HTTP's formats is.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
