"""Read the JSON of a response, also with extreme data in its events.

A producer in SQL may emit a number of thousands of digits, or a thousand nested arrays. Python
cannot read such a value, so it becomes a string of its JSON text. Otherwise one such event makes a
whole page unreadable.
"""

import json
import math
import re
from typing import Any

LEVELS_LIMIT = 100
"""Nesting levels of a field with the user's own data; a deeper one becomes its JSON text."""
DIGITS_LIMIT = 4_000
"""Digits of a number. Python does not convert longer ones from text, because that takes too long.
"""
OWN_DATA = ("payload", "data", "metadata", "example", "schema", "detail")
"""Fields of a resource that hold the user's own JSON."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_NO_BRACKET = re.compile(r"[^][{}]+")


def read(body: bytes) -> Any:
    """Return the document in the body.

    Raise ValueError or RecursionError if it is not readable JSON.
    """
    text = body.decode()
    if _depth(text) > LEVELS_LIMIT:
        text = _flattened(text)
    return json.loads(text, parse_int=_integer, parse_float=_number)


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= DIGITS_LIMIT else text


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _depth(text: str) -> int:
    """Return how deeply arrays and objects are nested."""
    depth = deepest = 0
    for bracket in _NO_BRACKET.sub("", _STRINGS.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _flattened(text: str) -> str:
    """Return the JSON with each field of own data that is too deep replaced by its text."""
    pieces, at = [], 0
    for start, end in _too_deep(text):
        pieces += [text[at:start], json.dumps(text[start:end])]
        at = end
    return "".join([*pieces, text[at:]])


def _too_deep(text: str) -> list[tuple[int, int]]:
    """Return the start and end of each such field, only the outermost ones, in order."""
    spans: list[tuple[int, int]] = []
    opened: list[tuple[int, bool]] = []
    heights = [0]
    name = (0, "")
    for token in _TOKENS.finditer(text):
        if token[0] in "{[":
            is_own = name[1] in OWN_DATA and text[name[0] : token.start()].strip() == ":"
            is_in_envelope = len(opened) > 1  # the first level is the envelope itself
            opened.append((token.start(), is_own and is_in_envelope))
            heights.append(0)
        elif token[0] in "}]":
            if not opened:  # the text is not JSON; `json.loads` reports it
                break
            start, is_own = opened.pop()
            height = heights.pop() + 1
            heights[-1] = max(heights[-1], height)
            if is_own and height > LEVELS_LIMIT:
                spans = [span for span in spans if span[0] < start]
                spans.append((start, token.end()))
        else:
            name = (token.end(), token[0][1:-1])
    return spans
