"""Reading an answer's JSON, whatever data people emitted: what Python cannot hold is given as its text.

A producer in SQL may emit a number of thousands of digits, or a thousand arrays inside one another.
One such event must not make the whole page unreadable on which it stands.
"""

import json
import math
import re
from typing import Any

DEEPEST = 100
"""Levels of a field with data of people's own; a deeper one is given as its JSON text."""
LONGEST_NUMBER = 4_000
"""Digits of a number; Python converts no longer ones from text (it would take too long)."""
OWN_DATA = ("payload", "data", "metadata", "example", "schema", "detail")
"""Fields of a resource that hold people's own JSON."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_NO_BRACKET = re.compile(r"[^][{}]+")


def read(body: bytes) -> Any:
    """Return the document. Raises ValueError, RecursionError and UnicodeDecodeError."""
    text = body.decode()
    if _depth(text) > DEEPEST:
        text = _flattened(text)
    return json.loads(text, parse_int=_integer, parse_float=_number)


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= LONGEST_NUMBER else text


def _number(text: str) -> float | str:
    found = float(text)
    return found if math.isfinite(found) else text


def _depth(text: str) -> int:
    """Return how many arrays and objects there are inside one another."""
    depth = deepest = 0
    for bracket in _NO_BRACKET.sub("", _STRINGS.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _flattened(text: str) -> str:
    """Return the JSON with every field of people's own that is too deep as a string of its text."""
    pieces, at = [], 0
    for start, end in _too_deep(text):
        pieces += [text[at:start], json.dumps(text[start:end])]
        at = end
    return "".join([*pieces, text[at:]])


def _too_deep(text: str) -> list[tuple[int, int]]:
    """Return from where to where those fields stand, the outermost ones, in order."""
    found: list[tuple[int, int]] = []
    opened: list[tuple[int, bool]] = []
    heights = [0]
    name = (0, "")
    for token in _TOKENS.finditer(text):
        if token[0] in "{[":
            is_own = name[1] in OWN_DATA and text[name[0] : token.start()].strip() == ":"
            opened.append(
                (token.start(), is_own and len(opened) > 1)
            )  # the first is the envelope's
            heights.append(0)
        elif token[0] in "}]":
            if not opened:  # it is no JSON, as its reader will say
                break
            start, is_own = opened.pop()
            height = heights.pop() + 1
            heights[-1] = max(heights[-1], height)
            if is_own and height > DEEPEST:
                found = [span for span in found if span[0] < start]
                found.append((start, token.end()))
        else:
            name = (token.end(), token[0][1:-1])
    return found
