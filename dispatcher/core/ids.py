"""Public names of the 63-bit ids: a prefix and the decimal number, and the time in the id.

An id is 41 bits of milliseconds since 2024-01-01 UTC and 22 bits of sequence. The database makes it
(`dispatcher.next_id`), so its time is the database's.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH_MS = 1_704_067_200_000
"""2024-01-01 00:00 UTC in Unix milliseconds."""
TIME_SHIFT = 22
"""Bits of sequence below the time."""
LARGEST_ID = 2**63 - 1
"""The largest id: PostgreSQL's bigint is signed."""
DAY_MS = 86_400_000

EVENT_PREFIX: Final = "evt"
DELIVERY_PREFIX: Final = "dlv"
RECOVERY_PREFIX: Final = "rec"
BULK_ACTION_PREFIX: Final = "blk"
QUARANTINE_PREFIX: Final = "q"

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_name(event_id: int) -> str:
    """Return the public name of an event's id."""
    return f"{EVENT_PREFIX}_{event_id}"


def delivery_name(delivery_id: int) -> str:
    """Return the public name of a delivery's id."""
    return f"{DELIVERY_PREFIX}_{delivery_id}"


def number_of(name: str) -> int:
    """Return the number in a public id that was made here, of any kind."""
    return int(name.rpartition("_")[2])


def parse(prefix: str, name: str) -> int:
    """Return the number in a name such as `evt_1` or `dlv_1`.

    Raise ValueError if `name` is not exactly the prefix, `_` and a 63-bit number.
    """
    head, _, digits = name.partition("_")
    if head != prefix or not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        raise ValueError(f"expected {prefix}_ and digits, not {name!r}")
    number = int(digits)
    if number > LARGEST_ID or str(number) != digits:
        raise ValueError(f"{name!r} is not an id")
    return number


def parse_or_none(prefix: str, name: str) -> int | None:
    """Return the number in a name as `parse` does, or None if the name is no such id."""
    try:
        return parse(prefix, name)
    except ValueError:
        return None


def created_ms(id_: int) -> int:
    """Return when the id was created, in milliseconds since the Unix epoch."""
    return (id_ >> TIME_SHIFT) + EPOCH_MS


def of_days(now: float, days: int) -> range:
    """Return the ids of the UTC day of `now` (epoch seconds) and those before: `days` in all."""
    end = (int(now * 1000) // DAY_MS + 1) * DAY_MS - EPOCH_MS
    return range(max(0, end - days * DAY_MS) << TIME_SHIFT, max(0, end) << TIME_SHIFT)


def days_before(high: int, now: float, days: int) -> int:
    """Return the id `days` days before the id `high`, or before `now` if that is earlier.

    `now` is in epoch seconds. The result is at least 0.
    """
    newest = (int(now * 1000) - EPOCH_MS) << TIME_SHIFT
    return max(0, min(high, newest) - (days * DAY_MS << TIME_SHIFT))


def created_at(id_: int) -> datetime:
    """Return when the id was created."""
    return _UNIX_EPOCH + timedelta(milliseconds=created_ms(id_))


def first_since(moment: datetime) -> int:
    """Return the smallest id that is not older than `moment`. Ids have millisecond precision."""
    milliseconds = -((_UNIX_EPOCH - moment) // timedelta(milliseconds=1))
    return min(max(0, (milliseconds - EPOCH_MS) << TIME_SHIFT), LARGEST_ID)
