"""When to retry: by the policy's own schedule, and by what the receiver asks for.

After an error in the daemon outside the request neither counts: see `broken_attempt` in `outcome`.

Random numbers and times are arguments, so that tests can list every case in a table.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from dispatcher.core.model import RetryPolicy

RETRY_AFTER_LIMIT_SECONDS = 24 * 3600.0
"""The longest delay that a receiver's response can ask for."""

PLAUSIBLE_SECONDS = 366 * 24 * 3600.0
"""A larger number in a response is not a delay but something else, such as a Unix time."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?(e[0-9]+)?", re.IGNORECASE)


def next_delay(policy: RetryPolicy, retry: int, chance: float) -> float:
    """Return the seconds to wait before retry number `retry`, counted from 1.

    It follows the attempt with the same number. `chance` in [0, 1) selects within the jitter: 0 is
    the shortest delay, 0.5 the delay without jitter. With jitter it may be longer than the cap.
    `deliveries/record.sql` adds the delay to the database's time.
    """
    return max(0.0, _delay_without_jitter(policy, retry) * (1 + policy.jitter * (2 * chance - 1)))


def longest_span(policy: RetryPolicy) -> float:
    """Return the seconds from the first attempt to the last if every jitter is the longest.

    This is the schedule alone, without the duration of attempts and the delays that receivers ask
    for.
    """
    return sum(_delay_without_jitter(policy, n) for n in range(1, policy.retries + 1)) * (
        1 + policy.jitter
    )


def retry_after(values: Sequence[str], now: float) -> float | None:
    """Return the seconds that the `Retry-After` headers of one response ask for, at most 24 hours.

    `values` are the headers as they came, `now` is Unix seconds. A number of seconds may have a
    fraction, which is rounded up. A date may have HTTP's or mail's form. A number too large for a
    delay is a Unix time if that is within the next year.

    Return None if there is no header or an invalid one, if the time is not in the future or more
    than a year away, or if two headers differ: a wrong guess could let an endpoint rest for a day.
    """
    delays = {_one_retry_after(value.strip(), now) for value in values}
    return delays.pop() if len(delays) == 1 else None


def _delay_without_jitter(policy: RetryPolicy, retry: int) -> float:
    if policy.base <= 0:
        return 0.0
    try:
        delay = policy.base * float(policy.factor) ** (retry - 1)
    except OverflowError:
        delay = math.inf
    return min(policy.cap, delay)


def _one_retry_after(value: str, now: float) -> float | None:
    if _SECONDS.fullmatch(value):
        number = float(value)
        delay = number if number <= PLAUSIBLE_SECONDS else number - now
    else:
        delay = _parse_date(value, default=now) - now
    if not 0 < delay <= PLAUSIBLE_SECONDS:
        return None
    # Round only a number of seconds: a date is exact already.
    return min(
        float(math.ceil(delay)) if _SECONDS.fullmatch(value) else delay, RETRY_AFTER_LIMIT_SECONDS
    )


def _parse_date(date: str, *, default: float) -> float:
    """Return Unix seconds, `default` if the date is invalid."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):  # Python versions differ
        return default
    # A date without a zone is in UTC, like the oldest of HTTP's formats.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
