"""Event types, and the patterns by which a subscription selects them.

A pattern is one exact type, `*` for all, or a prefix and `.*` for one or more further segments:
`a.*` matches `a.b` and `a.b.c`, not `a`. Reserved types match only subscriptions that name them
exactly. `dispatcher.patterns_of` in the database holds the same rule for the fan-out.
"""

import re
from collections.abc import Iterable

TYPE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*\Z")
"""The form of a whole type. It ends with `\\Z`, because `$` would accept a trailing newline."""

LONGEST = 128
"""Most characters of a type or pattern."""

_RESERVED = ("endpoint.", "delivery.")
"""Prefixes of the types that only the daemon emits."""


def parse_type(text: str) -> str:
    """Return `text` if it is an event type. Raises ValueError with the problem otherwise."""
    _check_length("an event type", text)
    if not TYPE.match(text):
        raise ValueError(
            f"{text!r} is not an event type: letters, digits and _ in segments joined by dots"
        )
    return text


def parse_pattern(text: str) -> str:
    """Return `text` if it is a pattern. Raises ValueError with the problem otherwise."""
    _check_length("a pattern", text)
    if text != "*" and not TYPE.match(text.removesuffix(".*")):
        raise ValueError(f"{text!r} is not a pattern: an event type, a prefix as in user.*, or *")
    return text


def matches(pattern: str, type: str) -> bool:
    """Return True if a subscription to `pattern` matches events of `type`, both already parsed."""
    if pattern == type:
        return True
    if is_reserved(type):
        return False
    return pattern == "*" or (pattern.endswith(".*") and type.startswith(pattern[:-1]))


def is_reserved(type: str) -> bool:
    """Return True if only the daemon emits this type; no wildcard matches it."""
    return type == "webhook.test" or type.startswith(_RESERVED)


def candidates(type: str) -> tuple[str, ...]:
    """Return every pattern that matches `type`, the narrowest first."""
    if is_reserved(type):
        return (type,)
    segments = type.split(".")
    prefixes = (".".join(segments[:kept]) for kept in range(len(segments) - 1, 0, -1))
    return (type, *(f"{prefix}.*" for prefix in prefixes), "*")


def simplify(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns without duplicates, in order.

    A pattern inside a wider one stays, so that the list reads as its owner wrote it.
    """
    return tuple(dict.fromkeys(patterns))


def _check_length(what: str, text: str) -> None:
    if not text:
        raise ValueError(f"{what} cannot be empty")
    if len(text) > LONGEST:
        raise ValueError(f"{what} has at most {LONGEST} characters, not {len(text)}")
