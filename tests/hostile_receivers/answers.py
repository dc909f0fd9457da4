"""Answers that are odd, wrong, hostile or no answers at all, each written once."""

import gzip
import zlib

from tests.hostile_receivers.behaviour import FINE, OK, Behaviour, Talk, says, trickles

_BOMB = gzip.compress(bytes(8_000_000))
_NESTED = gzip.compress(_BOMB * 4)
_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUSES = (
    *(
        200,
        201,
        204,
        226,
        299,
        300,
        304,
        400,
        401,
        404,
        405,
        407,
        408,
        409,
        410,
        413,
        417,
        421,
        422,
    ),
    *(425, 426, 429, 451, 500, 501, 502, 503, 504, 511, 599, 600, 999),
)
_LOCATIONS = {
    "to-itself": b"/", "to-metadata": b"http://169.254.169.254/latest/meta-data/", "to-a-file": b"file:///etc/passwd",
    "to-nowhere": b"", "to-a-script": b"javascript:alert(1)", "of-64-KiB": b"http://x/" + b"a" * 60_000,
}  # fmt: skip


def _fixed(verdict: str, *parts: bytes) -> Behaviour:
    return Behaviour(says(*parts), verdict)


def _with(header: bytes, body: bytes = b"ok") -> bytes:
    return OK + header + b"\r\n" + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _statuses() -> dict[str, Behaviour]:
    return {
        f"status-{n}": _fixed(f"{n}", b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % n)
        for n in _STATUSES
    }


def _redirects() -> dict[str, Behaviour]:
    return {
        f"redirect-{status}-{name}": _fixed(
            f"{status}",
            b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nRefresh: 0\r\nContent-Length: 0\r\n\r\n"
            % (status, location),
        )
        for status, (name, location) in zip(
            (301, 302, 303, 307, 308, 302), _LOCATIONS.items(), strict=True
        )
    }


_SLOPPY = {
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "line-feeds-only": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "http-1.0-until-close": b"HTTP/1.0 200 OK\r\n\r\nok",
    "http-1.9": b"HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "http-2-status-line": b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok",
    "lower-case": b"http/1.1 200 ok\r\ncontent-length: 2\r\n\r\nok",
    "nul-in-the-reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
    "escape-in-the-reason": b"HTTP/1.1 200 \x1b[31mred\r\nContent-Length: 2\r\n\r\nok",
    "folded-header": _with(b"X-A: one\r\n two"),
    "latin-1-header": _with(b"X-A: caf\xe9"),
    "nul-in-a-header": _with(b"X-A: a\x00b"),
    "bare-cr-in-a-header": _with(b"X-A: a\rX-B: c"),
    "header-without-a-colon": _with(b"nonsense"),
    "header-without-a-name": _with(b": value"),
    "space-before-the-colon": _with(b"X-A : b"),
    "html": _with(b"Content-Type: text/html; charset=bogus", b"<script>alert(1)</script>"),
    "every-byte": _with(b"Content-Type: text/plain", bytes(range(256)) * 8),
    "terminal-escapes": _with(b"Content-Type: text/plain", b"\x1b]0;owned\x07\x1b[2J"),
    "cookies": _with(b"Set-Cookie: a=b; Domain=com\r\nSet-Cookie: c=d"),
    "alternative-service": _with(b'Alt-Svc: h2=":1"; ma=99999\r\nStrict-Transport-Security: max-age=9'),
    "unknown-coding": _with(b"Content-Encoding: rot13"),
    "two-lengths-that-agree": _with(b"Content-Length: 2"),
    "two-lengths-that-differ": _with(b"Content-Length: 3"),
    "length-and-chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "negative-length": OK + b"Content-Length: -1\r\n\r\n",
    "length-with-a-sign": OK + b"Content-Length: +2\r\n\r\nok",
    "length-as-a-word": OK + b"Content-Length: two\r\n\r\nok",
    "length-of-a-thousand-digits": OK + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\nok",
    "length-of-an-exabyte": OK + b"Content-Length: 1000000000000000000\r\n\r\nok",
    "length-too-long": OK + b"Content-Length: 100\r\n\r\nok",
    "length-too-short": OK + b"Content-Length: 1\r\n\r\nokay",
    "coding-with-a-tab": OK + b"Transfer-Encoding:\tchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "unknown-transfer-coding": OK + b"Transfer-Encoding: cow\r\n\r\nok",
    "chunked-not-last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "bad-chunk-size": _CHUNKED + b"zz\r\nok\r\n",
    "negative-chunk-size": _CHUNKED + b"-2\r\nok\r\n0\r\n\r\n",
    "chunk-size-of-a-thousand-digits": _CHUNKED + b"f" * 1000 + b"\r\nok",
    "chunk-without-an-end": _CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
    "long-chunk-extension": _CHUNKED + b"2;" + b"a=b;" * 50_000 + b"\r\nok\r\n0\r\n\r\n",
    "trailers": _CHUNKED + b"2\r\nok\r\n0\r\nX-A: b\r\nContent-Length: 9\r\n\r\n",
    "no-body-at-all": OK + b"\r\n",
    "header-of-60-KiB": _with(b"X-A: " + b"a" * 60_000),
    "header-of-200-KiB": _with(b"X-A: " + b"a" * 200_000),
    "5000-headers": _with(b"X-A: b\r\n" * 5000 + b"X-Z: z"),
    "5000-connection-headers": _with(b"Connection: x\r\n" * 5000 + b"X-Z: z"),
    "connection-of-a-thousand-words": _with(b"Connection: " + b"x," * 1000),
    "two-answers-in-one": FINE + b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    "20000-answers-in-one": FINE * 20_000,
    "16-interim-answers": _INTERIM * 16 + FINE,
    "early-hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + FINE,
    "gzip-bomb": _with(b"Content-Encoding: gzip", _BOMB),
    "gzip-bomb-in-a-gzip-bomb": _with(b"Content-Encoding: gzip, gzip", _NESTED),
    "deflate-bomb": _with(b"Content-Encoding: deflate", zlib.compress(bytes(4_000_000))),
    "gzip-bomb-in-chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(_BOMB), _BOMB),
    "gzip-that-is-none": _with(b"Content-Encoding: gzip"),
    "dictionary-coding": _with(b"Content-Encoding: br, zstd, dcb"),
}  # fmt: skip
"""Answers whose status line is that of a success, whatever else is in them."""

_NOT_HTTP = {
    "two-digit-status": b"HTTP/1.1 20 OK\r\n\r\n",
    "four-digit-status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status-000": b"HTTP/1.1 000 OK\r\n\r\n",
    "no-status": b"HTTP/1.1 OK\r\n\r\n",
    "negative-status": b"HTTP/1.1 -200 OK\r\n\r\n",
    "other-digits": "HTTP/1.1 \uff12\uff10\uff10 OK\r\n\r\n".encode(),
    "no-space": b"HTTP/1.1200 OK\r\n\r\n",
    "http-0.9": b"<html>hello</html>\r\n",
    "http-9.9": b"HTTP/9.9 200 OK\r\n\r\n",
    "empty-line-first": b"\r\n" + FINE,
    "byte-order-mark": b"\xef\xbb\xbf" + FINE,
    "rtsp": b"RTSP/1.0 200 OK\r\n\r\n",
    "icecast": b"ICY 200 OK\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "smtp": b"220 mail.example.com ESMTP\r\n",
    "redis": b"-ERR unknown command 'POST'\r\n",
    "mysql": b"J\x00\x00\x00\x0a8.0.36\x00",
    "http-2-settings": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-2-goaway": b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
    "tls-alert": b"\x15\x03\x03\x00\x02\x02\x46",
    "websocket-frame": b"\x81\x05hello",
    "grpc-frame": b"\x00\x00\x00\x00\x02ok\r\n",
    "random": bytes(range(255, 0, -1)),
    "zeros": bytes(100),
    "17-interim-answers": _INTERIM * 17 + FINE,
    "interim-answer-of-100-KB": b"HTTP/1.1 103 Hints\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n" + FINE,
}  # fmt: skip


def _hostile_by_time() -> dict[str, Behaviour]:
    talks: dict[str, tuple[str, Talk]] = {
        "silent": ("timeout", says()),
        "status-line-in-a-trickle": ("timeout", trickles(FINE, every=0.3)),
        "interim-answers-in-a-trickle": ("timeout", trickles(_INTERIM, every=0.1)),
        "only-processing": ("timeout", says(b"HTTP/1.1 102 Processing\r\n\r\n")),
        "head-in-a-trickle": ("200", trickles(b"X-A: b\r\n" * 99, every=0.1, first=OK)),
        "body-in-a-trickle": ("200", trickles(b"ok" * 99, every=0.1, first=OK + b"\r\n")),
        "chunks-in-a-trickle": ("200", trickles(b"1\r\nx\r\n" * 99, every=0.1, first=_CHUNKED)),
        "gone-and-silent": ("410", says(b"HTTP/1.1 410 Gone\r\n")),
        "switching-protocols": (
            "101",
            says(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n\0\0\0\4"),
        ),
        "in-single-bytes": ("200", says(*(bytes([byte]) for byte in FINE))),
        "later": (
            "429",
            says(b"HTTP/1.1 429 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
        ),
    }
    return {name: Behaviour(talk, verdict) for name, (verdict, talk) in talks.items()}


ANSWERS: dict[str, Behaviour] = {
    **_statuses(),
    **_redirects(),
    **{name: _fixed("200", answer) for name, answer in _SLOPPY.items()},
    "no-content-with-a-body": _fixed("204", b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok"),
    "not-modified-with-a-body": _fixed("304", b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\nok"),
    **{name: _fixed("protocol", answer) for name, answer in _NOT_HTTP.items()},
    **_hostile_by_time(),
}
