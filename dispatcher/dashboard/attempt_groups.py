"""Fold attempts that went alike, and say what changed between others. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from dispatcher.services.deliveries.history_resources import Attempt

CHANGES_LIMIT: Final = 20
"""Changes that are listed between two groups. A receiver may send very many headers."""
SHOWN_LIMIT_CHARACTERS: Final = 120
"""Longest part of a value or a body that a change shows."""
_CONTEXT_CHARACTERS: Final = 20
"""Characters before the first difference of two bodies that are shown with it."""
_VOLATILE: Final = re.compile(
    r"date|age|expires|set-cookie|cf-ray|traceparent|tracestate|server-timing|x-runtime"
    r"|x-response-time|.*-id|.*ratelimit.*",
    re.IGNORECASE,
)
"""Headers that differ between answers that are alike."""


@dataclass(frozen=True, slots=True)
class Change:
    """A part of the outcome that differs. `before` or `after` is None if one has no such part."""

    part: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class AttemptGroup:
    """Successive attempts with the same outcome and the same answer, newest first.

    `position` is that of the oldest one among all attempts, from 1. It stays the same while newer
    attempts join the group. `changes` are those since the attempt before the group.
    """

    attempts: tuple[Attempt, ...]
    position: int
    changes: tuple[Change, ...]

    @property
    def newest(self) -> Attempt:
        return self.attempts[0]

    @property
    def oldest(self) -> Attempt:
        return self.attempts[-1]


def group(attempts: Sequence[Attempt]) -> tuple[AttemptGroup, ...]:
    """Return the groups of attempts, newest first.

    `attempts` are those of one delivery, oldest first.
    """
    groups: list[AttemptGroup] = []
    position = 1
    for _, alike in groupby(attempts, key=_outcome):
        members = tuple(alike)
        changes = compare(groups[-1].newest, members[0]) if groups else ()
        groups.append(AttemptGroup(members[::-1], position, changes))
        position += len(members)
    return tuple(reversed(groups))


def compare(before: Attempt, after: Attempt) -> tuple[Change, ...]:
    """Return what differs between the outcomes of two attempts, at most CHANGES_LIMIT changes."""
    if "cancelled" in (before.outcome, after.outcome):
        return ()
    parts = [
        ("Status", _text(before.status), _text(after.status)),
        ("Error", before.error, after.error),
        *_headers(before, after),
        ("Body", *_difference(before.response_body or "", after.response_body or "")),
    ]
    changes = (Change(part, _cut(old), _cut(new)) for part, old, new in parts if old != new)
    return tuple(changes)[:CHANGES_LIMIT]


def _outcome(attempt: Attempt) -> tuple[object, ...]:
    headers = tuple(_steady(attempt.response_headers))
    return (attempt.outcome, attempt.status, attempt.error, headers, attempt.response_body)


def _steady(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if not _VOLATILE.fullmatch(name)]


def _headers(before: Attempt, after: Attempt) -> list[tuple[str, str | None, str | None]]:
    """Return each header of two answers by its name, with all its values, None if it is absent."""
    old, new = _by_name(before), _by_name(after)
    return [(f"Header {name}", old.get(name), new.get(name)) for name in {**old, **new}]


def _by_name(attempt: Attempt) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in _steady(attempt.response_headers):
        values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(texts) for name, texts in values.items()}


def _difference(old: str, new: str) -> tuple[str, str]:
    """Return two bodies from a little before their first difference on."""
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
    start = max(0, (min(len(old), len(new)) if same is None else same) - _CONTEXT_CHARACTERS)
    before, after = old[start:], new[start:]
    return (f"… {before}", f"… {after}") if start and before != after else (before, after)


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= SHOWN_LIMIT_CHARACTERS:
        return text
    return f"{text[:SHOWN_LIMIT_CHARACTERS]}…"


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
