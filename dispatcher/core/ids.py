"""Public names of the 63-bit ids: a prefix and the decimal number, and the time inside it.

An id is 41 bits of milliseconds since 2024-01-01 UTC and 22 bits of sequence; the database makes
them (`dispatcher.next_id`), so their time is the database's.
"""

EPOCH_MS = 1_704_067_200_000
TIME_SHIFT = 22
LARGEST = 2**63 - 1


def event_name(event_id: int) -> str:
    return f"evt_{event_id}"


def delivery_name(delivery_id: int) -> str:
    return f"dlv_{delivery_id}"


def parse(prefix: str, name: str) -> int:
    """The number in `evt_…` or `dlv_…`; ValueError for anything that is not exactly such a name."""
    head, _, digits = name.partition("_")
    if head != prefix or not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        raise ValueError(f"expected {prefix}_ and digits, not {name!r}")
    number = int(digits)
    if number > LARGEST or str(number) != digits:
        raise ValueError(f"{name!r} is not an id")
    return number


def created_ms(id_: int) -> int:
    """When the id was drawn, in milliseconds since the Unix epoch."""
    return (id_ >> TIME_SHIFT) + EPOCH_MS
