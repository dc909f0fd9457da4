"""One answer as its bytes come in. The status line decides; the rest is an excerpt.

The head is read here and not by llhttp, which refuses status lines and headers that curl takes
for a 200. Chunks are llhttp's. Whatever is odd after the status line shortens the excerpt and
costs the connection, never the verdict.
"""

import re
from http import HTTPStatus
from typing import Literal

import httptools

HEAD_LIMIT_BYTES = 64 * 1024
"""Of one head on the wire. Browsers and curl take 100 KB and more; no honest head has so much."""

HEADERS_LIMIT_BYTES = 8 * 1024
"""Of names and values kept of an answer's head."""

INTERIM_LIMIT = 16
"""Answers such as `100 Continue` before the real one. More of them only cost time."""

CHUNK_FRAMING_BYTES = 4 * 1024
"""What chunk sizes and trailers may take on the wire beyond the excerpt."""

LINES_LIMIT = 512
"""Of a head that are looked at for the excerpt."""

NAMESAKES_LIMIT = 32
"""Headers that begin like one that matters and are looked at: a head can have thousands."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] [ \t]*([0-9]{3})(?![0-9])")
_CLEAN_HEAD = re.compile(
    rb"HTTP/1\.1 [0-9]{3}(?: [^\r\n\0]*)?\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*+\r\n"
)
_KEEP_ALIVE_TIMEOUT = re.compile(r"timeout=\"?([0-9]{1,6})\b")
_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Framing = Literal["none", "length", "chunked", "until-close", "unknown"]


class NotHttpError(Exception):
    """What came is no HTTP answer; the text says why, and may quote it."""


class Answer:
    """One answer, fed with what was read, in pieces of any size.

    `status` is 0 until a final status line has been read: then the verdict is known.
    `ended` is true when nothing more is wanted, `complete` when the body ended as it should.
    `keeps_alive` is true when the connection may carry another request, and then
    `keep_alive_seconds` is how long the receiver says that it keeps it (None: it does not say).
    At most `body_limit` bytes of body are kept.
    """

    __slots__ = (
        "_body",
        "_body_limit",
        "_chunks",
        "_framing",
        "_head",
        "_interims",
        "_remaining",
        "_searched",
        "_wire",
        "complete",
        "ended",
        "keep_alive_seconds",
        "keeps_alive",
        "status",
    )

    def __init__(self, body_limit: int) -> None:
        self.status = 0
        self.ended = False
        self.complete = False
        self.keeps_alive = False
        self.keep_alive_seconds: int | None = None
        self._body_limit = body_limit
        self._head: bytes | bytearray = b""
        self._searched = 0
        self._interims = 0
        self._framing: Framing | None = None
        self._remaining = 0
        self._wire = 0
        self._body: bytes | bytearray = b""
        self._chunks: _Chunks | None = None

    @property
    def began(self) -> bool:
        """Return True if at least one byte of an answer has come."""
        return bool(self._head or self._interims or self.status)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the first headers of the head, as many as are kept."""
        return _kept_headers(self._head)

    @property
    def body(self) -> bytes:
        """Return the excerpt of the body, as it came, without chunk sizes."""
        return bytes(self._body[: self._body_limit])

    @property
    def truncated(self) -> bool:
        return not self.complete or len(self._body) > self._body_limit

    def feed(self, data: bytes) -> bool:
        """Take what was read, and return `ended`. Raises NotHttpError before a final status."""
        if self._framing is None:
            rest = self._feed_head(data)
            if rest is None:
                return self.ended
            data = rest
        self._feed_body(data)
        return self.ended

    def end_of_input(self, *, clean: bool) -> bool:
        """Note that the connection has ended, `clean` or not. Return False if without a status."""
        if not self.status:
            return False
        if not self.ended:
            self.complete = clean and self._framing == "until-close"
            self._stop()
        return True

    def _feed_head(self, data: bytes) -> bytes | None:
        """Return what follows a final head, None while there is no end of one."""
        if self._head:
            self._head += data
        else:
            self._head = data
        while (end := _end_of_head(self._head, self._searched)) >= 0:
            head, rest = bytes(self._head[:end]), bytes(self._head[end:])
            status = _status(head)
            self._head, self._searched = head, 0
            if not _is_interim(status):
                self._begin_body(status, head)
                return rest
            self._interims += 1
            if self._interims > INTERIM_LIMIT:
                raise NotHttpError(f"more than {INTERIM_LIMIT} interim answers (1xx)")
            self._head = rest
            if not rest:
                return None
        self._look_at_part_of_head()
        return None

    def _look_at_part_of_head(self) -> None:
        head = self._head
        if not isinstance(head, bytearray):
            head = self._head = bytearray(head)
        self._searched = max(0, len(head) - 3)
        is_too_long = len(head) > HEAD_LIMIT_BYTES
        if not self.status:
            if not head.startswith(b"HTTP/"[: len(head)]):
                raise NotHttpError(f"it begins with {bytes(head[:40])!r}")
            if b"\n" in head or is_too_long:
                status = _status(head)
                self.status = 0 if _is_interim(status) else status
        if is_too_long:
            if not self.status:
                raise NotHttpError(
                    f"the head of an interim answer is over {HEAD_LIMIT_BYTES} bytes"
                )
            self._stop()

    def _begin_body(self, status: int, head: bytes) -> None:
        self.status = status
        lowered = head.lower()
        self._framing, self._remaining = _framing(status, lowered)
        self.keeps_alive = (
            self._framing in ("none", "length", "chunked")
            and _CLEAN_HEAD.fullmatch(head) is not None
            and _wants_keep_alive(status, lowered)
        )
        if self.keeps_alive:
            self.keep_alive_seconds = _keep_alive_seconds(lowered)

    def _feed_body(self, data: bytes) -> None:
        if self._framing == "length" or self._framing == "none":
            wanted = self._remaining
            if len(data) >= wanted:
                self._finish(surplus=len(data) > wanted)
                data = data[:wanted]
            self._remaining -= len(data)
            self._keep(data)
        elif self._framing == "chunked":
            self._feed_chunks(data)
        else:
            self._keep(data)
            if self._framing == "unknown":
                self._stop()
        if len(self._body) > self._body_limit and not self.ended:
            self._stop()

    def _feed_chunks(self, data: bytes) -> None:
        if self._chunks is None:
            self._chunks = _Chunks()
            self._body = self._chunks.content
        self._wire += len(data)
        if not self._chunks.feed(data):
            self._stop()
        elif self._chunks.ended:
            self._finish(surplus=self._chunks.surplus)
        elif self._wire > self._body_limit + CHUNK_FRAMING_BYTES:
            self._stop()

    def _keep(self, data: bytes) -> None:
        if not self._body:
            self._body = data
        elif data:
            self._body = bytearray(self._body) if isinstance(self._body, bytes) else self._body
            self._body += data

    def _finish(self, *, surplus: bool) -> None:
        self.ended = self.complete = True
        self.keeps_alive = self.keeps_alive and not surplus

    def _stop(self) -> None:
        self.ended = True
        self.keeps_alive = False


class _Chunks:
    """The content of a chunked body, found by llhttp. Callbacks are named as httptools wants."""

    __slots__ = ("_parser", "content", "ended", "surplus")

    def __init__(self) -> None:
        self.content = bytearray()
        self.ended = False
        self.surplus = False
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)

    def feed(self, data: bytes) -> bool:
        """Return False if the chunks are broken: what came before them is in `content`."""
        if self._parser is None:
            return False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.ended:
                self._parser = None
                return False
            self.surplus = True
        if self.ended:
            self._parser = None  # it refers to us: waiting for the collector would hold memory
        return True

    def on_body(self, data: bytes) -> None:
        if not self.ended:
            self.content += data

    def on_message_complete(self) -> None:
        self.ended = True

    def on_message_begin(self) -> None:
        self.surplus = self.ended


def _end_of_head(data: bytes | bytearray, start: int) -> int:
    """Return where the first empty line ends, or -1. Lines may end in CRLF or in a bare LF."""
    crlf = data.find(b"\n\r\n", start)
    lf = data.find(b"\n\n", start, crlf + 1 if crlf >= 0 else len(data))
    if lf >= 0:
        return lf + 2
    return crlf + 3 if crlf >= 0 else -1


def _status(head: bytes | bytearray) -> int:
    found = _STATUS_LINE.match(head)
    if found is None:
        line = bytes(head[:100]).split(b"\n", 1)[0].rstrip(b"\r")
        raise NotHttpError(f"its status line is {line!r}")
    return int(found[1])


def _is_interim(status: int) -> bool:
    return 100 <= status <= 199 and status != HTTPStatus.SWITCHING_PROTOCOLS


def _framing(status: int, lowered: bytes) -> tuple[Framing, int]:
    """Return how the body ends, and for a length how many bytes are to come."""
    codings = [c for c in _values(lowered, b"\ntransfer-encoding") if c != b"identity"]
    lengths = _values(lowered, b"\ncontent-length")
    if status in (HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return ("unknown", 0) if codings or lengths not in ([], [b"0"]) else ("none", 0)
    if codings:
        # With a length besides, others may see another end: whoever sent it is not kept.
        return ("chunked", 0) if codings[-1] == b"chunked" else ("until-close", 0)
    if not lengths:
        return "until-close", 0
    if len(set(lengths)) == 1 and lengths[0].isdigit() and len(lengths[0]) <= 19:
        return "length", int(lengths[0])
    return "unknown", 0


def _wants_keep_alive(status: int, lowered: bytes) -> bool:
    if status == HTTPStatus.SWITCHING_PROTOCOLS:
        return False
    if lowered.find(b"\ntransfer-encoding") >= 0 and lowered.find(b"\ncontent-length") >= 0:
        return False
    return b"close" not in _values(lowered, b"\nconnection")


def _keep_alive_seconds(lowered: bytes) -> int | None:
    for value in _values(lowered, b"\nkeep-alive"):
        if found := _KEEP_ALIVE_TIMEOUT.search(value.decode("latin-1")):
            return int(found[1])
    return None


def _values(lowered: bytes, name: bytes) -> list[bytes]:
    """Return the comma-separated values of all headers of a `name` that begins with a line feed."""
    values: list[bytes] = []
    at = -1
    for _ in range(NAMESAKES_LIMIT):
        at = lowered.find(name, at + 1)
        if at < 0:
            break
        end = lowered.find(b"\n", at + 1)
        field, colon, value = lowered[at + 1 : end if end >= 0 else None].partition(b":")
        if colon and field.rstrip() == name[1:]:
            values += [part.strip() for part in value.split(b",")]
    return values


def _kept_headers(head: bytes | bytearray) -> tuple[tuple[str, str], ...]:
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
        if len(name) + len(value) > room:
            continue  # a shorter one behind it may matter, such as Retry-After
        room -= len(name) + len(value)
        kept.append((name, value))
    return tuple(kept)
