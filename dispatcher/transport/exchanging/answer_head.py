"""Parse the head of an answer: its status, how its body ends, and the headers to keep.

llhttp is not used here, as it refuses status lines and headers that curl accepts as a 200.
"""

import re
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

HEADERS_LIMIT_BYTES = 8 * 1024
"""Most bytes of header names and values that are kept."""

LINES_LIMIT = 512
"""Most lines of a long, malformed or incomplete head that are searched for headers to keep."""

NOTABLE_LIMIT = 64
"""Most headers about the end of the body that are used, as thousands would take time."""

HEADS_LIMIT = 512
CACHED_HEAD_LIMIT_BYTES = 1024
"""Most parsed heads that are kept, and the longest of them: half a MiB in all. Under load, most
heads of a receiver are equal within one second, as their Date is."""

CLEAN_LIMIT_BYTES = 16 * 1024
"""Longest head that is checked to the last byte, so that the connection can be kept: 64 KiB would
hold the event loop for 0.3 ms."""

LENGTH_LIMIT_DIGITS = 19
"""Most digits of a Content-Length, enough for 64 bits."""

REQUEST_TIMEOUT = 408
_NO_BODY = frozenset({101, 204, 304})

_STATUS_LINE = re.compile(
    rb"HTTP/(?:1\.[0-9]|[23](?:\.[0-9])?) [ \t]*((?!000)[0-9]{3})(?![0-9])", re.IGNORECASE
)
_CLEAN = re.compile(
    rb"HTTP/1\.1 ((?!000)[0-9]{3})(?: [^\r\n\0]*)?\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*+\r\n"
)
_FIELD = re.compile(r"\n([^:\r\n]+):[ \t]*+([^\r\n]*[^\r\n \t])?")
_NOTABLE = re.compile(
    rb"\n(content-length|transfer-encoding|connection|keep-alive)[ \t]*:([^\r\n]*)"
)
_KEEP_ALIVE_TIMEOUT = re.compile(rb"timeout=\"?([0-9]{1,6})\b")

Framing = Literal["none", "length", "chunked", "until-close", "unknown"]


class NotHttpError(Exception):
    """The bytes are no HTTP answer; the text describes why, and may quote them."""


class Head(NamedTuple):
    """A parsed head.

    `length` is the body's length in bytes if `framing` is "length". `is_reusable` is True if
    another request may follow on the connection. `keep_alive_seconds` is how long the receiver
    announces that it keeps the connection, None if it announces nothing. `whole_length` is the
    number of bytes that must follow the head, -1 if the head is malformed, is longer than
    CLEAN_LIMIT_BYTES or does not say it, or if another answer follows.
    """

    status: int
    framing: Framing
    length: int
    is_reusable: bool
    keep_alive_seconds: int | None
    headers: tuple[tuple[str, str], ...]
    whole_length: int


def parse_head(head: bytes | bytearray) -> Head:
    """Parse a head, from its status line to its empty line. Raise NotHttpError."""
    if len(head) <= CACHED_HEAD_LIMIT_BYTES:
        return cached_head(bytes(head))
    return _parse(bytes(head))


def parse_status(head: bytes | bytearray) -> int:
    """Return the status from a status line and what follows it. Raise NotHttpError."""
    match = _STATUS_LINE.match(head)
    if match is None:
        line = bytes(head[:100]).split(b"\n", 1)[0].rstrip(b"\r")
        raise NotHttpError(f"its status line is {line!r}")
    return int(match[1])


def is_interim(status: int) -> bool:
    """Return True if another answer follows this one; none follows `101 Switching Protocols`."""
    return 100 <= status <= 199 and status != 101


def kept_headers(head: bytes | bytearray) -> tuple[tuple[str, str], ...]:
    """Return the headers to keep, also of an incomplete or malformed head."""
    room = HEADERS_LIMIT_BYTES
    kept: list[tuple[str, str]] = []
    for line in head.decode("latin-1").split("\n", LINES_LIMIT)[1:LINES_LIMIT]:
        if line[:1] in (" ", "\t") and kept:
            name, value = kept.pop()
            room += len(name) + len(value)
            value = f"{value} {line.strip()}"
        else:
            name, colon, value = line.partition(":")
            if not colon:
                continue
            name, value = name.strip(), value.strip()
        # Skip only a header that is too long. Otherwise a Retry-After behind it would be lost.
        if len(name) + len(value) <= room:
            room -= len(name) + len(value)
            kept.append((name, value))
    return tuple(kept)


def _parse(head: bytes) -> Head:
    clean = _CLEAN.fullmatch(head) if len(head) <= CLEAN_LIMIT_BYTES else None
    status = int(clean[1]) if clean else parse_status(head)
    framing: Framing = "until-close"
    length = 0
    keep_alive_seconds: int | None = None
    notable: dict[bytes, bytes] = {}
    for match in islice(_NOTABLE.finditer(head.lower()), NOTABLE_LIMIT):
        name, value = match.groups()
        notable[name] = notable[name] + b"," + value if name in notable else value
    if notable:
        framing, length = _framing(notable)
        keep_alive_seconds = _keep_alive_seconds(notable)
    if status in _NO_BODY:
        # The head may announce a body although its status has none, and the body may be sent.
        framing = "none" if framing == "until-close" or not length else "unknown"
    is_reusable = (
        clean is not None
        and framing in ("none", "length", "chunked")
        and not _is_last(notable)
        and not (status in _NO_BODY and (status == 101 or b"transfer-encoding" in notable))
    )
    if clean and len(head) <= HEADERS_LIMIT_BYTES:
        headers = tuple(_FIELD.findall(head.decode("latin-1")))
    else:
        headers = kept_headers(head)
    is_length_known = clean and framing in ("none", "length") and not is_interim(status)
    whole_length = length if is_length_known else -1
    return Head(status, framing, length, is_reusable, keep_alive_seconds, headers, whole_length)


# The same as `parse_head`, for heads of at most CACHED_HEAD_LIMIT_BYTES. It is called directly,
# because `lru_cache` is written in C, and nearly every answer passes here.
cached_head = lru_cache(maxsize=HEADS_LIMIT)(_parse)


def _framing(notable: dict[bytes, bytes]) -> tuple[Framing, int]:
    """Return how the body ends, and its length in bytes, 0 unless it ends by length."""
    codings = _values(notable, b"transfer-encoding")
    if codings and codings != [b"identity"]:
        return ("chunked", 0) if codings[-1] == b"chunked" else ("until-close", 0)
    lengths = _values(notable, b"content-length")
    if not lengths:
        return "until-close", 0
    if len(set(lengths)) == 1 and lengths[0].isdigit() and len(lengths[0]) <= LENGTH_LIMIT_DIGITS:
        return "length", int(lengths[0])
    return "unknown", 0


def _is_last(notable: dict[bytes, bytes]) -> bool:
    if b"transfer-encoding" in notable and b"content-length" in notable:
        return True  # a proxy may see another end of this body: a request after it is unsafe
    return b"connection" in notable and b"close" in _values(notable, b"connection")


def _keep_alive_seconds(notable: dict[bytes, bytes]) -> int | None:
    match = _KEEP_ALIVE_TIMEOUT.search(notable.get(b"keep-alive", b""))
    return int(match[1]) if match else None


def _values(notable: dict[bytes, bytes], name: bytes) -> list[bytes]:
    value = notable.get(name)
    return [] if value is None else [part.strip() for part in value.split(b",")]
