"""Reading of JSON bodies, with limits on size, time and depth, and without ambiguity."""

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from aiohttp import web

from dispatcher.api.types import Detail, HttpError
from dispatcher.schema_validation.validate import NESTING_LIMIT

SECONDS = 10.0
"""Seconds for the whole body to arrive. A slower one gets a 408, because it holds memory."""

_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
"""Match brackets, and whole strings, so that brackets inside strings are not counted.

A match holds the interpreter lock. With an alternative for each character, that of a string of 1 MB
would keep the event loop from its heartbeats for 0.1 s.
"""
_PLAIN = re.compile(r"[^ \t\n\r,\]}]+")
"""Match a number, true, false or null."""
_SPACE = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_COMMA = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class DuplicateKeyError(ValueError):
    """An object has a key twice. The message names the key."""


async def body(request: web.Request, limit: int, reserve: Callable[[int], None]) -> bytes:
    """Return the whole body of a request, of at most `limit` bytes.

    `reserve` is called with the size whenever more has arrived than before, and may refuse it.
    Raise an HttpError: 415 if the body is compressed, 413 if it is too large, 408 if it takes more
    than SECONDS, 400 if the client goes away before its end.
    """
    if not request.can_read_body:
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HttpError(
            415, "unsupported_encoding", "The body is compressed. Send it without Content-Encoding."
        )
    try:
        if request.content.is_eof():  # all of it has arrived
            return _of_size(request.content.read_nowait(), limit, request.client_max_size)
        async with asyncio.timeout(SECONDS):
            return await _receive(request, limit, reserve)
    except TimeoutError:
        raise HttpError(
            408,
            "too_slow",
            f"The body did not arrive within {SECONDS:g} seconds",
            headers={"Connection": "close"},
        ) from None
    except ConnectionError:  # Otherwise it would be logged as an error of the daemon.
        raise HttpError(
            400, "incomplete_body", "The connection ended before the whole body had arrived"
        ) from None


async def _receive(request: web.Request, limit: int, reserve: Callable[[int], None]) -> bytes:
    received = bytearray()
    while part := await request.content.readany():
        received += part
        _of_size(received, limit, request.client_max_size)
        reserve(len(received))
    return bytes(received)


B = TypeVar("B", bytes, bytearray)


def _of_size(received: B, limit: int, configured: int) -> B:
    """Return the bytes. Raise an HttpError (413) that names the limit if there are too many."""
    if len(received) > limit:
        setting = " (limits.body_bytes, or twice delivery.max_data)" if limit == configured else ""
        detail = Detail(f"the body must be at most {limit} bytes{setting}")
        raise HttpError(413, "too_large", "The request's body is too large", detail)
    return received


def check(text: bytes) -> None:
    """Raise an HttpError (400) unless `text` is JSON in UTF-8 that all parsers read alike.

    Duplicate keys, NaN and deep nesting are refused.
    """
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise _bad("The body is not UTF-8") from None
    if is_too_deep(decoded):
        raise _bad(f"The body is nested more than {NESTING_LIMIT} deep")
    try:
        json.loads(decoded, object_pairs_hook=unique, parse_constant=no_number, parse_int=integer)
    except DuplicateKeyError as error:
        raise _bad(f"A key stands twice in one object: {one_line(str(error))}") from None
    except ValueError as error:
        raise _bad(f"The body is not JSON: {one_line(str(error))}") from None


def span_of(text: str, path: Sequence[str]) -> tuple[int, int] | None:
    """Return the start and end offset of the value at `path`, None if there is none.

    `text` must have passed `check`.
    """
    return span_at(text, _SPACE.match(text).end(), path)  # type: ignore[union-attr] # it always matches


def span_at(text: str, start: int, path: Sequence[str]) -> tuple[int, int] | None:
    """Return the start and end offset of the value at `path` of the value at `start`.

    Return None if there is none. The value must have passed `check`.
    """
    for name in path:
        span = dict(_members(text, start)).get(name)
        if span is None:
            return None
        start = span[0]
    return start, _end_of(text, start)


def _members(text: str, start: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name and the offsets of each value of the object that starts at `start`."""
    if text[start] != "{":
        return
    at = _SPACE.match(text, start + 1).end()  # type: ignore[union-attr] # it always matches
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begin = _COLON.match(text, at).end()  # type: ignore[union-attr] # checked JSON has one here
        end = _end_of(text, begin)
        yield name, (begin, end)
        at = _COMMA.match(text, end).end()  # type: ignore[union-attr] # it always matches


def _end_of(text: str, start: int) -> int:
    """Return the end offset of the value that starts at `start`.

    A decoder would hold the interpreter lock until it has built the whole value.
    """
    if text[start] not in '{["':
        return _PLAIN.match(text, start).end()  # type: ignore[union-attr] # checked JSON
    depth = 0
    for token in _TOKENS.finditer(text, start):
        first = text[token.start()]
        if first in "{[":
            depth += 1
        elif first in "}]":
            depth -= 1
        if depth == 0:
            return token.end()
    raise ValueError("the text was not checked")


def is_too_deep(text: str) -> bool:
    """Return True if brackets outside strings nest deeper than NESTING_LIMIT.

    This runs before the parser, which recurses and would fail on deep nesting.
    """
    if text.count("{") + text.count("[") <= NESTING_LIMIT:
        return False
    depth = 0
    for token in _TOKENS.finditer(text):
        bracket = token[0]
        if bracket in "{[":
            depth += 1
            if depth > NESTING_LIMIT:
                return True
        elif bracket in "}]":
            depth -= 1
    return False


def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict. Raise DuplicateKeyError for a duplicate key.

    Parsers differ in which of two values they take.
    """
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise DuplicateKeyError(repr(name[:100]))
        members[name] = value
    return members


def no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def integer(text: str) -> float:
    """Return the number, or infinity instead of a long one.

    The caller drops the value, and converting a long one takes quadratic time.
    """
    return int(text) if len(text) < 20 else math.inf


def _bad(title: str) -> HttpError:
    return HttpError(400, "bad_json", title)


def one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200]
