"""Event types, and the patterns by which a subscription selects them.

A pattern is one exact type, `*` for all, or a prefix and `.*` for one or more further segments:
`a.*` matches `a.b` and `a.b.c`, not `a`. Reserved types match only subscriptions that name them
exactly. `dispatcher.patterns_of` in the database holds the same rule for the fan-out.
"""

import re

ALL_TYPES = "*"
"""The pattern that matches every type that is not reserved."""
TYPE_PATTERN = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*"
"""The form of a whole type, without anchors."""
LIMIT_CHARACTERS = 128
"""The longest type or pattern."""

_TYPE = re.compile(TYPE_PATTERN)

_RESERVED = ("endpoint.", "delivery.")
"""Prefixes of the types that only the daemon emits."""


def parse_type(text: str) -> str:
    """Return `text` if it is an event type. Raise ValueError with the problem otherwise."""
    _check_length("an event type", text)
    if not is_type(text):
        raise ValueError(
            f"{text!r} is not an event type: letters, digits and _ in segments joined by dots"
        )
    return text


def parse_pattern(text: str) -> str:
    """Return `text` if it is a pattern. Raise ValueError with the problem otherwise."""
    _check_length("a pattern", text)
    if text != ALL_TYPES and not is_type(text.removesuffix(".*")):
        raise ValueError(f"{text!r} is not a pattern: an event type, a prefix as in user.*, or *")
    return text


def is_type(text: str) -> bool:
    """Return True if the text has the form of an event type, however long it is."""
    return _TYPE.fullmatch(text) is not None


def matches(pattern: str, type: str) -> bool:
    """Return True if a subscription to `pattern` matches events of `type`, both already parsed."""
    if pattern == type:
        return True
    if is_reserved(type):
        return False
    return pattern == ALL_TYPES or (pattern.endswith(".*") and type.startswith(pattern[:-1]))


def is_reserved(type: str) -> bool:
    """Return True if only the daemon emits this type; no wildcard matches it."""
    return type == "webhook.test" or type.startswith(_RESERVED)


def _check_length(subject: str, text: str) -> None:
    if not text:
        raise ValueError(f"{subject} cannot be empty")
    if len(text) > LIMIT_CHARACTERS:
        raise ValueError(f"{subject} has at most {LIMIT_CHARACTERS} characters, not {len(text)}")
