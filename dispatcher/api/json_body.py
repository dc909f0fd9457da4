"""A request's body: bounded in size, time, depth, and never two things at once."""

import asyncio
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aiohttp import web

from dispatcher.api.types import Failure

SECONDS = 10.0
DEEPEST = 64

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)
"""Strings, so that what is in them is passed over, and brackets."""
_SPACE = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_COMMA = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


async def body(request: web.Request) -> bytes:
    """All of it; 415 for one that is compressed, 413 for one too large, 408 for one too slow."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity" and request.can_read_body:
        raise Failure(415, "unsupported_encoding", "A request's body is not to be compressed")
    try:
        async with asyncio.timeout(SECONDS):
            return await request.read()
    except TimeoutError:
        raise Failure(
            408,
            "too_slow",
            f"The request's body did not come within {SECONDS:g} seconds",
            headers={"Connection": "close"},
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise Failure(413, "too_large", "The request's body is too large") from None


def check(text: bytes) -> None:
    """Raise a 400 unless it is JSON in UTF-8 that every reader would understand alike."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise _bad("The body is not UTF-8") from None
    if _is_too_deep(decoded):
        raise _bad(f"The body is nested more than {DEEPEST} deep")
    try:
        json.loads(
            decoded, object_pairs_hook=_unique, parse_constant=_no_number, parse_int=_integer
        )
    except ValueError as error:
        raise _bad(f"The body is not JSON: {_one_line(str(error))}") from None


def raw(text: str, path: Sequence[str]) -> tuple[int, int] | None:
    """From where to where the value stands that `path` leads to, in JSON that was checked; None if
    it leads nowhere."""
    start = _SPACE.match(text).end()  # type: ignore[union-attr] # it always matches
    for name in path:
        found = dict(_members(text, start)).get(name)
        if found is None:
            return None
        start = found[0]
    return start, _DECODER.raw_decode(text, start)[1]


def _members(text: str, start: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """The values of the object at `start`, by name."""
    if text[start] != "{":
        return
    at = _SPACE.match(text, start + 1).end()  # type: ignore[union-attr] # it always matches
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begin = _COLON.match(text, at).end()  # type: ignore[union-attr] # what was checked has one
        _, end = _DECODER.raw_decode(text, begin)
        yield name, (begin, end)
        at = _COMMA.match(text, end).end()  # type: ignore[union-attr] # it always matches


def _is_too_deep(text: str) -> bool:
    """By its brackets outside of strings. Asked before it is parsed, for parsing recurses."""
    depth = 0
    for found in _TOKENS.finditer(text):
        bracket = found[0]
        if bracket in "{[":
            depth += 1
            if depth > DEEPEST:
                return True
        elif bracket in "}]":
            depth -= 1
    return False


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ on which of two equal keys they take."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:100]!r} stands twice in one object")
        found[name] = value
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _integer(text: str) -> float:
    """Nobody wants the value here, and a long one takes its time."""
    return int(text) if len(text) < 20 else math.inf


def _bad(title: str) -> Failure:
    return Failure(400, "bad_json", title)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200]
