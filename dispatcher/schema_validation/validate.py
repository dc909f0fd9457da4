"""JSON schemas: whether one can be used, and why data does not satisfy it, in words without the data.

Draft 2020-12, or the one that `$schema` names. References lead nowhere outside the schema, and the
patterns are of the linear kind, without lookaround. Even so a schema of 2 KiB can ask for 2^100
steps, in code that nothing can interrupt: outside of tests these functions run in a `Sandbox`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NoReturn

import jsonschema_rs
import orjson

LARGEST = 65_536
"""Bytes of a schema, and of an example."""
DEEPEST = 64
"""Levels of a schema, and of an example."""
LONGEST_DETAIL = 500
KEPT = 64
"""Schemas kept ready for use."""

Reason = Literal["schema", "unreadable", "schema_unusable", "too_costly", "check_failed"]
"""Data does not satisfy the schema · it can not be read as JSON of sound text and finite numbers ·
the schema itself is no good · comparing the two takes too much time or memory."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why data was not accepted: a word for programs, and where and why for people."""

    reason: Reason
    detail: str


def judge(schema: str, data: str | None) -> Refusal | None:
    """None when data satisfies the schema; without data, when the schema can be used. Both are
    JSON texts."""
    try:
        validator = _ready(schema)
    except ValueError as error:
        return Refusal("schema_unusable", _told(_reason(error, "schema")))
    if data is None:
        return None
    try:
        value = orjson.loads(data)
    except ValueError as error:
        return Refusal("unreadable", _told(str(error)))
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return Refusal("schema", _told(_reason(error, "data")))
    return None


def depth(value: object) -> int:
    """How many arrays and objects there are inside one another."""
    levels, layer = 0, [value]
    while layer := [each for each in layer if isinstance(each, dict | list)]:
        levels += 1
        layer = [inner for outer in layer for inner in _inside(outer)]
    return levels


def _inside(outer: Any) -> Iterable[object]:
    return outer.values() if isinstance(outer, dict) else outer


@lru_cache(maxsize=KEPT)
def _ready(schema: str) -> jsonschema_rs.Validator:
    """Ready for use; a ValueError says why it can not be."""
    return jsonschema_rs.validator_for(
        orjson.loads(schema),
        mask="the value",  # what is said of data must not repeat it
        retriever=_elsewhere,
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _elsewhere(uri: str) -> NoReturn:
    raise ValueError("only references within the schema itself are followed")


def _reason(error: ValueError, root: str) -> str:
    if isinstance(error, jsonschema_rs.ValidationError):
        place = ".".join(str(part) for part in (root, *error.instance_path))
        return f"{place}: {error.message}"
    return str(error)


def _told(text: str) -> str:
    """On one line, and fit for the database, whatever keys the data has."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if len(shown) <= LONGEST_DETAIL else f"{shown[: LONGEST_DETAIL - 1]}…"
