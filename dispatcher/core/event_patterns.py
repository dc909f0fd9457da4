"""Event types, and the patterns by which a subscription chooses among them.

A pattern is one exact type, `*` for all, or a prefix and `.*` for one or more further segments:
`a.*` matches `a.b` and `a.b.c`, not `a`. Reserved types match only the subscriptions that name
them exactly. `dispatcher.patterns_of` in the database holds the same rule for the fan-out.
"""

import re
from collections.abc import Iterable

TYPE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*\Z")
"""What a whole type looks like: `$` would let a trailing newline pass."""

LONGEST = 128

_RESERVED = ("endpoint.", "delivery.")


def parse_type(text: str) -> str:
    """`text` if it is an event type, else ValueError with what is wrong with it."""
    _check_length("an event type", text)
    if not TYPE.match(text):
        raise ValueError(
            f"{text!r} is not an event type: letters, digits and _ in segments joined by dots"
        )
    return text


def parse_pattern(text: str) -> str:
    """`text` if it is a pattern, else ValueError with what is wrong with it."""
    _check_length("a pattern", text)
    if text != "*" and not TYPE.match(text.removesuffix(".*")):
        raise ValueError(f"{text!r} is not a pattern: an event type, a prefix as in user.*, or *")
    return text


def matches(pattern: str, type: str) -> bool:
    """Whether a subscription to `pattern` wants events of `type`; both already parsed."""
    if pattern == type:
        return True
    if is_reserved(type):
        return False
    return pattern == "*" or (pattern.endswith(".*") and type.startswith(pattern[:-1]))


def is_reserved(type: str) -> bool:
    """Whether only the daemon emits this type, and no wildcard matches it."""
    return type == "webhook.test" or type.startswith(_RESERVED)


def candidates(type: str) -> tuple[str, ...]:
    """Every pattern that matches `type`, the narrowest first."""
    if is_reserved(type):
        return (type,)
    segments = type.split(".")
    prefixes = (".".join(segments[:kept]) for kept in range(len(segments) - 1, 0, -1))
    return (type, *(f"{prefix}.*" for prefix in prefixes), "*")


def simplify(patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns without repetitions, in order. One inside a wider one stays: people list it."""
    return tuple(dict.fromkeys(patterns))


def _check_length(what: str, text: str) -> None:
    if not text:
        raise ValueError(f"{what} can not be empty")
    if len(text) > LONGEST:
        raise ValueError(f"{what} has at most {LONGEST} characters, not {len(text)}")
