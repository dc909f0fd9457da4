"""Parse one answer as its bytes arrive: the status line decides, the rest is an excerpt.

llhttp parses chunked bodies. Malformed bytes after the status line shorten the excerpt and close
the connection, but they never change the outcome.
"""

import httptools

from dispatcher.core.model import Response, Timings
from dispatcher.transport.exchanging.answer_head import (
    CACHED_HEAD_LIMIT_BYTES,
    Head,
    NotHttpError,
    cached_head,
    is_interim,
    kept_headers,
    parse_head,
    parse_status,
)

HEAD_LIMIT_BYTES = 64 * 1024
"""Most bytes of one head. Browsers and curl accept 100 KB and more; no real head is so large."""

INTERIM_LIMIT = 16
"""Most interim answers, such as `100 Continue`, before the final one."""

PARSED_LIMIT_BYTES = 16 * 1024
"""Most bytes that are parsed at once. Otherwise a flood in one read would be parsed as a whole."""

CHUNK_FRAMING_LIMIT_BYTES = 4 * 1024
"""Most bytes that chunk sizes and trailers take on the wire, besides the excerpt."""

_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def whole_answer(data: bytes, body_limit: int) -> tuple[Head, bytes] | None:
    """Return the head and the body of an answer that arrived whole, in one piece.

    Nearly every answer does so. Return None for any other answer: an `Answer` parses it. Raise
    NotHttpError.
    """
    end = data.find(b"\r\n\r\n", 0, CACHED_HEAD_LIMIT_BYTES) + 4
    if end < 4:
        return None
    head = cached_head(data[:end])
    if head.whole_length != len(data) - end or head.whole_length > body_limit:
        return None
    return head, data[end:]


class Answer:
    """One answer, parsed from pieces of any size.

    `status` is 0 until a final status line has been read, which decides the outcome. `has_ended` is
    True when no more bytes are needed, `is_complete` when the body ended correctly, `is_reusable`
    when another request may follow on the connection. At most `body_limit` bytes of body are kept.
    """

    __slots__ = (
        "_body",
        "_body_limit",
        "_chunks",
        "_interims",
        "_partial",
        "_remaining",
        "_searched",
        "_wire",
        "has_ended",
        "head",
        "is_complete",
        "is_reusable",
        "status",
    )

    def __init__(self, body_limit: int) -> None:
        self.status = 0
        self.head: Head | None = None
        self.has_ended = False
        self.is_complete = False
        self.is_reusable = False
        self._body_limit = body_limit
        self._body: bytes | bytearray = b""
        self._partial: bytearray | None = None
        self._searched = 0
        self._interims = 0

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that are kept, also those of an incomplete head."""
        if self.head is not None:
            return self.head.headers
        return kept_headers(self._partial or b"")

    @property
    def body(self) -> bytes:
        """Return the excerpt of the body as received, without chunk sizes."""
        return bytes(self._body[: self._body_limit])

    @property
    def truncated(self) -> bool:
        """Return True if the excerpt is not the whole body."""
        return not self.is_complete or len(self._body) > self._body_limit

    def response(self, duration: float, timings: Timings) -> Response:
        """Return the answer as a value; `duration` is in seconds."""
        return Response(self.status, self.headers, self.body, self.truncated, duration, timings)

    def feed(self, data: bytes) -> bool:
        """Parse the next bytes, and return `has_ended`.

        Raise NotHttpError if they are not HTTP, before a final status only.
        """
        if self.head is None:
            rest = self._feed_head(data)
            if rest is None:
                return self.has_ended
            data = rest
        self._feed_body(data)
        return self.has_ended

    def feed_pieces(self, data: bytes) -> bool:
        """Parse as `feed` does, in pieces. Bytes after the answer end the connection's use."""
        for at in range(0, len(data), PARSED_LIMIT_BYTES):
            end = at + PARSED_LIMIT_BYTES
            if self.feed(data[at:end]):
                self.is_reusable = self.is_reusable and end >= len(data)
                break
        return self.has_ended

    def end_of_input(self, *, clean: bool) -> bool:
        """Note that the connection has ended; `clean` is True if it ended without an error.

        Return False if there was no status before.
        """
        if not self.status:
            return False
        if not self.has_ended:
            framing = self.head.framing if self.head is not None else None
            self.is_complete = clean and framing == "until-close"
            self._stop()
        return True

    def _feed_head(self, data: bytes) -> bytes | None:
        """Return the bytes after a final head, None while the head is not complete."""
        came: bytes | bytearray = data
        if self._partial is not None:
            self._partial += data
            came = self._partial
        while (end := _end_of_head(came, self._searched)) >= 0:
            head = parse_head(came[:end])
            rest = bytes(came[end:])
            self._partial, self._searched = None, 0
            if not is_interim(head.status):
                self._begin_body(head)
                return rest
            self._interims += 1
            if self._interims > INTERIM_LIMIT:
                raise NotHttpError(f"more than {INTERIM_LIMIT} interim answers (1xx)")
            came = rest
        if came:
            self._look_at_part_of_head(came)
        return None

    def _look_at_part_of_head(self, came: bytes | bytearray) -> None:
        self._partial = came if isinstance(came, bytearray) else bytearray(came)
        self._searched = max(0, len(came) - 3)
        is_too_long = len(came) > HEAD_LIMIT_BYTES
        if not self.status:
            if not b"HTTP/".startswith(bytes(came[:5]).upper()):
                raise NotHttpError(f"it begins with {bytes(came[:40])!r}")
            if b"\n" in came or is_too_long:
                status = parse_status(came)
                self.status = 0 if is_interim(status) else status
        if is_too_long:
            if not self.status:
                raise NotHttpError(
                    f"the head of an interim answer is over {HEAD_LIMIT_BYTES} bytes"
                )
            self._stop()

    def _begin_body(self, head: Head) -> None:
        self.head = head
        self.status = head.status
        self.is_reusable = head.is_reusable
        self._remaining = head.length
        self._wire = 0
        self._chunks: _Chunks | None = None

    def _feed_body(self, data: bytes) -> None:
        framing = self.head.framing if self.head is not None else "unknown"
        if framing in ("length", "none"):
            remaining = self._remaining
            if len(data) >= remaining:
                self._finish(surplus=len(data) > remaining)
                data = data[:remaining]
            self._remaining -= len(data)
            self._keep(data)
        elif framing == "chunked":
            self._feed_chunks(data)
        else:
            self._keep(data)
            if framing == "unknown":
                self._stop()
        if len(self._body) > self._body_limit and not self.has_ended:
            self._stop()

    def _feed_chunks(self, data: bytes) -> None:
        if self._chunks is None:
            self._chunks = _Chunks()
            self._body = self._chunks.content
        self._wire += len(data)
        if not self._chunks.feed(data):
            self._stop()
        elif self._chunks.has_ended:
            self._finish(surplus=self._chunks.has_surplus)
        elif self._wire > self._body_limit + CHUNK_FRAMING_LIMIT_BYTES:
            self._stop()

    def _keep(self, data: bytes) -> None:
        if not self._body:
            self._body = data
        elif data:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def _finish(self, *, surplus: bool) -> None:
        self.has_ended = self.is_complete = True
        self.is_reusable = self.is_reusable and not surplus

    def _stop(self) -> None:
        self.has_ended = True
        self.is_reusable = False


class _Chunks:
    """The content of a chunked body, parsed by llhttp; httptools defines the callbacks' names."""

    __slots__ = ("_parser", "content", "has_ended", "has_surplus")

    def __init__(self) -> None:
        self.content = bytearray()
        self.has_ended = False
        self.has_surplus = False
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)

    def feed(self, data: bytes) -> bool:
        """Parse the next bytes; return False if the chunks are malformed.

        The content before the malformed chunk is in `content`.
        """
        if self._parser is None:
            return False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.has_ended:
                self._parser = None
                return False
            self.has_surplus = True
        if self.has_ended:
            self._parser = None  # break the cycle. Otherwise memory waits for garbage collection
        return True

    def on_body(self, data: bytes) -> None:
        if not self.has_ended:
            self.content += data

    def on_message_complete(self) -> None:
        self.has_ended = True

    def on_message_begin(self) -> None:
        self.has_surplus = self.has_ended


def _end_of_head(data: bytes | bytearray, start: int) -> int:
    """Return where the first empty line ends, -1 if there is none; lines end in CRLF or LF."""
    crlf = data.find(b"\n\r\n", start)
    lf = data.find(b"\n\n", start, crlf + 1 if crlf >= 0 else len(data))
    if lf >= 0:
        return lf + 2
    return crlf + 3 if crlf >= 0 else -1
