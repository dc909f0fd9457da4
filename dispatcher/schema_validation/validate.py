"""Check whether a JSON schema is valid and whether data satisfies it.

The details never contain values of the data, but may name its keys. A schema is draft 2020-12, or
the draft that `$schema` names.
References lead nowhere outside the schema, and patterns are matched in linear time, without
lookaround. Even so, a schema of 2 KiB can need 2^100 steps, in code that nothing can interrupt:
outside of tests these functions run in a `Sandbox`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NoReturn

import jsonschema_rs
import orjson

SCHEMA_LIMIT_BYTES = 65_536
"""Bytes of a schema, and of an example."""
NESTING_LIMIT = 64
"""Nesting levels of JSON that people give. Parsers recurse, and would fail on much deeper JSON."""
DETAIL_LIMIT_CHARACTERS = 500
"""Characters of the detail of a Rejection."""
KEPT_LIMIT = 64
"""Compiled schemas in the cache."""

Reason = Literal["schema", "unreadable", "schema_unusable", "too_expensive", "check_failed"]
"""Why data was rejected: it does not satisfy the schema · it is not JSON of valid text and finite
numbers · the schema itself is invalid · the check takes too much time or memory · the check
failed with an error of its own.
"""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why data was rejected: `reason` is a word for programs, `detail` a text for people."""

    reason: Reason
    detail: str


def validate(schema: str, data: str | None) -> Rejection | None:
    """Return None if the data satisfies the schema; without data, if the schema is valid.

    Otherwise return the Rejection. Both arguments are JSON texts.
    """
    try:
        validator = _ready(schema)
    except ValueError as error:
        return Rejection("schema_unusable", _storable(_reason(error, "schema")))
    if data is None:
        return None
    try:
        value = orjson.loads(data)
    except ValueError as error:
        return Rejection("unreadable", _storable(str(error)))
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return Rejection("schema", _storable(_reason(error, "data")))
    return None


def depth(value: object) -> int:
    """Return how deeply arrays and objects are nested; 0 for a plain value."""
    levels, layer = 0, [value]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        levels += 1
        layer = [inner for outer in layer for inner in _inside(outer)]
    return levels


def _inside(outer: dict[str, object] | list[object]) -> Iterable[object]:
    return outer.values() if isinstance(outer, dict) else outer


@lru_cache(maxsize=KEPT_LIMIT)
def _ready(schema: str) -> jsonschema_rs.Validator:
    """Return the compiled schema. Raise ValueError with the reason if it is invalid."""
    return jsonschema_rs.validator_for(
        orjson.loads(schema),
        mask="the value",  # an error message must not contain the data
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


def _storable(text: str) -> str:
    """Return the text on one line and valid for the database, whatever keys the data has."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return (
        shown
        if len(shown) <= DETAIL_LIMIT_CHARACTERS
        else f"{shown[: DETAIL_LIMIT_CHARACTERS - 1]}…"
    )
